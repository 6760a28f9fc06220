# License: BSD-3-Clause
"""Checkpoints that a killed process or a full disk cannot spoil."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

CHECKPOINT = "last.ckpt"


class ReplacingCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint beside the earlier one, then put it in its place.

    Lightning's own way goes through the folder for temporary files: from another disk it is
    copied over the earlier checkpoint, which a full disk then leaves in half.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint.

        Parameters
        ----------
        checkpoint : dict
            Checkpoint.
        path : str | Path
            File, replaced when the new one is complete.
        storage_options : None
            Not used.
        """
        new = Path(f"{path}.new")
        new.parent.mkdir(parents=True, exist_ok=True)
        try:
            with new.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            new.unlink(missing_ok=True)
            raise
        new.replace(path)


def steps_done(run_dir: Path) -> int:
    """Read from the checkpoint of a run how many steps it has behind it.

    Parameters
    ----------
    run_dir : Path
        Folder of one stage.

    Returns
    -------
    int
        Steps; 0 without a checkpoint.
    """
    checkpoint = run_dir / CHECKPOINT
    if not checkpoint.exists():
        return 0
    # Our own file: Lightning's checkpoints hold more than tensors.
    state = torch.load(checkpoint, map_location="cpu", weights_only=False, mmap=True)
    return int(state["global_step"])
