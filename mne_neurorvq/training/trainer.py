# License: BSD-3-Clause
"""Lightning's trainer, as pretraining wants it: checkpoints, logs, several processes, Ctrl-C."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import lightning
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from mne.utils import logger

from ..encoding.passes import progress
from .checkpoints import CHECKPOINT, ReplacingCheckpointIO, StepCheckpoint
from .settings import Hardware, StageSettings

# What Lightning says about choices that are meant: the workers asked for, a folder that already
# has the checkpoint to go on from, an epoch resumed where it stopped, a frozen tokenizer, means
# that are those of all processes already.
_EXPECTED = (
    "The '.*_dataloader' does not have many workers",
    "Checkpoint directory",
    "Experiment logs directory",
    "You're resuming from a checkpoint",
    ".*mid-epoch",
    ".*LeafSpec",
    ".*in eval mode at the start of training",
    "It is recommended to use `self.log",
)


def make_trainer(
    hardware: Hardware, settings: StageSettings, run_dir: Path, done: int
) -> lightning.Trainer:
    """Make the trainer of a stage that has so many steps behind it; its folder is ``run_dir``."""
    launcher = _launcher()
    for environment in launcher:
        # Lightning itself does not look at this where it is given one process only.
        environment.validate_settings(hardware.devices, hardware.nodes)
    several = hardware.devices * hardware.nodes > 1
    watched = not progress(0, None).disable
    return lightning.Trainer(
        max_steps=settings.n_steps,
        max_epochs=-1,
        accelerator=hardware.accelerator,
        devices=hardware.devices,
        num_nodes=hardware.nodes,
        precision=hardware.precision,
        # Every process computes the same codebooks: nothing has to be sent before each step.
        strategy=DDPStrategy(broadcast_buffers=False) if several else "auto",
        use_distributed_sampler=False,
        plugins=[ReplacingCheckpointIO(), *launcher],
        accumulate_grad_batches=settings.accumulate,
        default_root_dir=run_dir,
        logger=_loggers(run_dir, done),
        log_every_n_steps=min(20, settings.n_steps),
        # In batches, of which there are several to a step.
        val_check_interval=min(settings.validate_every, settings.n_steps) * settings.accumulate,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=watched,
        callbacks=[
            StepCheckpoint(
                run_dir,
                filename=Path(CHECKPOINT).stem,
                every_n_train_steps=settings.save_every,
                enable_version_counter=False,
            ),
            _Progress(refresh_rate=20) if watched else _Lines(),
        ],
    )


def _loggers(run_dir: Path, done: int) -> list[Logger]:
    """Log as CSV, and for TensorBoard where that is installed."""
    logs: dict[str, Any] = {"name": "logs", "version": f"from_{done}"}
    loggers: list[Logger] = [CSVLogger(run_dir, flush_logs_every_n_steps=1, **logs)]
    if find_spec("tensorboard") is not None:
        loggers.append(TensorBoardLogger(run_dir, default_hp_metric=False, **logs))
    return loggers


def _launcher() -> list[ClusterEnvironment]:
    """Find what started the processes, if anything did; torchrun first, which may run within Slurm.

    It is left to Slurm to start a job again: Lightning would keep a checkpoint beside ours.
    """
    if TorchElasticEnvironment.detect():
        return [TorchElasticEnvironment()]
    return [SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else []


class _Progress(TQDMProgressBar):
    """Lightning's bar, without the name of the folder that the logs go to."""

    def get_metrics(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> dict[str, Any]:
        shown: dict[str, Any] = super().get_metrics(trainer, pl_module)
        shown.pop("v_num", None)
        return shown


class _Lines(lightning.Callback):
    """A line at each validation, for the log of a run that nobody watches."""

    def on_validation_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        if trainer.is_global_zero:
            told = [f"{name} {value:.3f}" for name, value in trainer.progress_bar_metrics.items()]
            step = f"step {trainer.global_step} of {trainer.max_steps}"
            logger.info(", ".join([step, *told]))


@contextmanager
def quiet() -> Iterator[None]:
    """Let Lightning say what is wrong, and not what it is doing."""
    its_logger = logging.getLogger("lightning.pytorch")
    usual = its_logger.level
    its_logger.setLevel(max(logging.WARNING, its_logger.getEffectiveLevel()))
    try:
        with warnings.catch_warnings():
            for message in _EXPECTED:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        its_logger.setLevel(usual)


@contextmanager
def interruptible() -> Iterator[None]:
    """Undo what Lightning makes of Ctrl-C: the end of the process, and no Ctrl-C any more."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit:
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from None
