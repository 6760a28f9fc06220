# License: BSD-3-Clause
"""Checkpoints that a killed process or a full disk cannot spoil."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_only

from .._writing import replacing, write_json

CHECKPOINT = "last.ckpt"
# What a stage was begun with, but for the configuration.
_BEGUN = "begun.json"


class ReplacingCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint beside the earlier one, then put it in its place.

    Lightning's own way goes through the folder for temporary files: from another disk it is
    copied over the earlier checkpoint, which a full disk then leaves in half.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint."""
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with replacing(file) as new:
                torch.save(checkpoint, new)
        # torch says of a full disk only that its archive is at another position than it was.
        except (OSError, RuntimeError) as error:
            raise OSError(
                f"{path} could not be written, is the disk full? The checkpoint before it is as "
                f"it was, or new, and the run goes on from there. ({error})"
            ) from error

    def load_checkpoint(
        self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Read a checkpoint; see :func:`read_checkpoint`."""
        return read_checkpoint(Path(path), map_location)


def read_checkpoint(path: Path, map_location: Any = "cpu", mmap: bool = False) -> dict[str, Any]:
    """Read a checkpoint without running code that it may hold."""
    try:
        checkpoint: dict[str, Any] = torch.load(
            path, map_location=map_location, weights_only=True, mmap=mmap
        )
        int(checkpoint["global_step"])
    # Without torch's message, which advises loading the file anyway.
    except pickle.UnpicklingError:
        raise ValueError(
            f"{path} holds more than tensors, numbers and texts, or is damaged. It is not loaded: "
            "Python objects of others could run any code. Take another folder, or remove the file "
            "to begin again."
        ) from None
    except (RuntimeError, EOFError, IsADirectoryError, LookupError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is damaged, or not a checkpoint of a run ({error!r}): take another copy, or "
            "remove it to begin again."
        ) from error
    return checkpoint


class StepCheckpoint(ModelCheckpoint):
    """Lightning's checkpoints, written only when a run could resume from them.

    That is after a step, not while gradients are accumulated for the next one, and not before the
    stage is resumable.
    """

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Save a checkpoint if it is time."""
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0 and pl_module.resumable:
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def state_dict(self) -> dict[str, Any]:
        """Keep nothing: there is one file, and the folder of a run may be moved."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up nothing."""


def steps_done(run_dir: Path) -> int:
    """Read from the checkpoint of a run how many steps it has behind it."""
    checkpoint = run_dir / CHECKPOINT
    if not checkpoint.exists():
        return 0
    return int(read_checkpoint(checkpoint, mmap=True)["global_step"])


def is_first() -> bool:
    """Whether this is the process that writes."""
    return getattr(rank_zero_only, "rank", 0) == 0


def begin(run_dir: Path, done: int, inputs: Mapping[str, str]) -> None:
    """Write what a stage begins with; if it goes on, compare."""
    file = run_dir / _BEGUN
    if not done:
        if is_first():
            run_dir.mkdir(parents=True, exist_ok=True)
            write_json(file, dict(inputs))
        return
    try:
        begun = json.loads(file.read_bytes())
        compared = {name: (begun[name], digest) for name, digest in inputs.items()}
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{file} is lost or damaged ({error!r}): take another copy, or remove {CHECKPOINT} "
            "beside it to begin again."
        ) from error
    for name, (before, digest) in compared.items():
        if before != digest:
            raise ValueError(
                f"{run_dir} was begun with another {name}, or this one has changed since: take it "
                "as it was, or another folder."
            )


def digest_of(content: Mapping[str, Any]) -> str:
    """Give equal content equal names."""
    digest = blake2b(digest_size=16)
    for name, value in sorted(content.items()):
        digest.update(name.encode())
        if isinstance(value, torch.Tensor):
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        else:
            digest.update(json.dumps(value, sort_keys=True).encode())
    return digest.hexdigest()
