# License: BSD-3-Clause
"""What to run, as it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .cells import CONTROLS
from .pipeline_files import MODELS
from .tasks import TASKS


@dataclass(frozen=True)
class Plan:
    """What to run, in plain values.

    Attributes
    ----------
    out : pathlib.Path
        Folder of the run.
    tasks, pipelines : tuple of str
        Names; none are all that are at hand.
    models : tuple of str
        Models of the pipelines that have one; each comes with its twin of random weights.
    data : pathlib.Path | None
        Folder of the recordings; None is MNE's.
    folder : pathlib.Path | None
        Folder of further pipelines.
    subjects : tuple of str | None
        People to use; None takes all.
    folds : int
        Number of folds of people.
    seeds : tuple of int
        Seeds of folds and training.
    shares : tuple of float
        Shares of the training trials.
    controls : tuple of str
        ``""`` for the task itself, ``"permuted"`` and ``"identity"``.

    Raises
    ------
    TypeError
        If a single value is given in place of several.
    ValueError
        If there is no such task or control, or a number is out of range.

    Examples
    --------
    >>> Plan("results", tasks="imagery")
    Traceback (most recent call last):
    TypeError: tasks must be a tuple, such as ('imagery',), got 'imagery'.
    """

    out: Path
    tasks: tuple[str, ...] = ()
    pipelines: tuple[str, ...] = ()
    models: tuple[str, ...] = MODELS
    data: Path | None = None
    folder: Path | None = None
    subjects: tuple[str, ...] | None = None
    folds: int = 5
    seeds: tuple[int, ...] = (0,)
    shares: tuple[float, ...] = (1.0,)
    controls: tuple[str, ...] = ("",)

    def __post_init__(self) -> None:
        for name in ("out", "data", "folder"):
            if (path := getattr(self, name)) is not None:
                object.__setattr__(self, name, Path(path))
        numbers = ("seeds", "shares")
        for name in ("tasks", "pipelines", "models", "subjects", "controls", *numbers):
            values = getattr(self, name)
            if values is None and name == "subjects":
                continue
            if isinstance(values, str) or not isinstance(values, Sequence):
                raise TypeError(f"{name} must be a tuple, such as ({values!r},), got {values!r}.")
            if not values and name in ("subjects", "controls", *numbers):
                raise ValueError(f"{name} must not be empty.")
            object.__setattr__(self, name, tuple(values))
        counted = int, np.integer
        for name, valid, otherwise in (
            ("tasks", TASKS.__contains__, f"none of {', '.join(TASKS)}"),
            ("controls", CONTROLS.__contains__, f"none of {CONTROLS}"),
            (
                "seeds",
                lambda seed: isinstance(seed, counted) and seed >= 0,
                "no count from 0 on",
            ),
            ("shares", lambda share: 0 < share <= 1, "not above 0 and at most 1"),
        ):
            for value in getattr(self, name):
                if not valid(value):
                    raise ValueError(f"{name}: {value!r} is {otherwise}.")
        if not self.folds >= 2:
            raise ValueError(f"folds must be at least 2, got {self.folds!r}.")
