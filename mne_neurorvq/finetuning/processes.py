# License: BSD-3-Clause
"""One net that several processes train, through accelerate: each computes a part of every batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from skorch.hf import AccelerateMixin
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset

from .._optional import optional
from .net import FineTuningNet

if TYPE_CHECKING:
    from accelerate import Accelerator


class PartOfBatches(BatchSampler):
    """The part of every batch, the same in all processes, that one of them computes."""

    def __init__(self, batches: BatchSampler, process: int, n_processes: int) -> None:
        self.batches = batches
        self.process = process
        self.n_processes = n_processes

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.batches:
            # A process without a trial would keep the others waiting: it repeats the first.
            yield batch[self.process :: self.n_processes] or batch[:1]


class SharedNet(AccelerateMixin, FineTuningNet):
    """A net that several processes train, with the result of one.

    Each computes a part of every batch; gradients and losses are those of the whole batch, and
    every process ends with the same weights. Watched trials are evaluated by each, in full.
    """

    _criteria: list[str]

    def __init__(self, *args: Any, accelerator: Accelerator, **settings: Any) -> None:
        super().__init__(
            *args,
            accelerator=accelerator,
            # EarlyStopping takes the best weights after training: disconnected() unwraps later.
            unwrap_after_train=False,
            **settings,
        )

    def _initialize_accelerator(self) -> SharedNet:
        # torch refuses to share what has no parameters, which is the loss.
        criteria, self._criteria = self._criteria, []
        try:
            return super()._initialize_accelerator()
        finally:
            self._criteria = criteria

    def get_iterator(self, dataset: Dataset[Any], training: bool = False) -> DataLoader[Any]:
        """Return the batches of a data set: parts of them in training, all otherwise."""
        loader = FineTuningNet.get_iterator(self, dataset, training)
        if not training:
            return loader
        connected = self.accelerator
        return DataLoader(
            loader.dataset,
            batch_sampler=PartOfBatches(
                loader.batch_sampler, connected.process_index, connected.num_processes
            ),
            generator=loader.generator,
        )

    def get_loss(
        self, y_pred: Tensor, y_true: tuple[Tensor, Tensor], *args: Any, **kwargs: Any
    ) -> Tensor:
        """Return the loss; in training, so that its mean over processes is that of the batch."""
        loss = super().get_loss(y_pred, y_true, *args, **kwargs)
        if kwargs.get("training"):
            weight = y_true[1].sum().to(loss.device)
            loss = loss * weight / self.accelerator.reduce(weight, "mean")
        return loss

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Train on a part of a batch, and record the loss of all of it."""
        return self._same_loss(super().train_step_single(batch, **fit_params))

    def validation_step(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Evaluate a batch, so that no rounding makes one process stop before another."""
        return self._same_loss(super().validation_step(batch, **fit_params))

    def on_batch_end(
        self, net: Any, batch: Any = None, training: bool = False, **kwargs: Any
    ) -> None:
        """Record how many trials the whole batch had: epochs are averaged by it."""
        super().on_batch_end(net, batch=batch, training=training, **kwargs)
        if training:
            n_trials = torch.tensor(float(len(batch[0])), device=self.device)
            whole = int(self.accelerator.reduce(n_trials, "sum"))
            self.history.record_batch("train_batch_size", whole)

    def evaluation_step(self, batch: Any, training: bool = False) -> Tensor:
        """Return the outputs for a batch, without the other processes."""
        return FineTuningNet.evaluation_step(self, batch, training)

    def _same_loss(self, step: dict[str, Any]) -> dict[str, Any]:
        return step | {"loss": self.accelerator.reduce(step["loss"].detach(), "mean")}

    def disconnected(self) -> FineTuningNet:
        """Return the trained net without the connection, which could not be pickled."""
        self.accelerator.wait_for_everyone()
        self._unwrap_accelerator()
        net = FineTuningNet.__new__(FineTuningNet)
        net.__dict__.update(
            (name, value)
            for name, value in vars(self).items()
            if name not in ("accelerator", "unwrap_after_train", "_wrapped_with_accelerator")
        )
        net.optimizer_ = self.optimizer_.optimizer
        return net


def connect(device: torch.device) -> Accelerator:
    """Connect this process with the others that torchrun started, if there are any."""
    with optional("device='accelerate'", "accelerate", "use device='auto'"):
        from accelerate import Accelerator
    # The net moves data to the device and has a precision of its own.
    return Accelerator(cpu=device.type == "cpu", device_placement=False, mixed_precision="no")


def same_seed(seed: int, processes: Accelerator | None) -> int:
    """Give every process the seed of the first, so that all split and order trials alike."""
    if processes is None:
        return seed
    from accelerate.utils import broadcast_object_list

    return int(broadcast_object_list([seed])[0])
