# License: BSD-3-Clause
"""Trials of a few subjects, and the smallest model."""

from epochs_fixtures import (
    _compute_everything,
    band,
    epochs,
    make_epochs,
    tiny,
    transformer,
)

__all__ = ["_compute_everything", "band", "epochs", "make_epochs", "tiny", "transformer"]
