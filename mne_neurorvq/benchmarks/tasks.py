# License: BSD-3-Clause
"""The tasks: what is told apart, on which recordings, after which filters, and who says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from moabb.datasets.base import BaseDataset
from moabb.paradigms.base import BaseParadigm

from .paradigm import FRONTAL, Windows
from .recordings import Eegmat, Eegmmidb, EegmmidbEyes, FolderDataset, standard_folder


@dataclass(frozen=True)
class Task:
    """A task of the benchmark.

    Attributes
    ----------
    title : str
        What is told apart.
    dataset : callable
        Takes the folder of the data and the people to use (None: all), and gives a MOABB dataset.
    paradigm : moabb.paradigms.BaseParadigm
        Makes trials and classes of it.
    source : str
        Who has published windows, filters and classes, and where the recordings come from.
    control : str
        Empty for the task as published, else what is different.
    of : str
        Name of the task that this one is a control of, else empty.
    """

    title: str
    dataset: Callable[[Path, Sequence[str] | None], BaseDataset]
    paradigm: BaseParadigm
    source: str
    control: str = ""
    of: str = ""


def _folder(kind: type[FolderDataset]) -> Callable[[Path, Sequence[str] | None], BaseDataset]:
    return lambda data, subjects: kind(data, subjects)


def _with_controls(name: str, task: Task, **settings: Any) -> dict[str, Task]:
    """Give a task three times: as published, without what is known to mislead, and of that alone.

    ``settings`` are those of the paradigm that differ, by the name of the control.
    """
    found = {name: task}
    for control, changed in settings.items():
        title = control.replace("_", " ")
        found[f"{name}-{control.replace('_', '-')}"] = replace(
            task, paradigm=_changed(task.paradigm, changed), control=title, of=name
        )
    return found


def _changed(paradigm: BaseParadigm, settings: Mapping[str, Any]) -> Windows:
    assert isinstance(paradigm, Windows)
    return Windows(**{**paradigm.settings, **settings})


# The targets of motor tasks are on the left and right of a screen: eyes can give the answer.
_EYES: Mapping[str, Any] = {
    "eyes_removed": {"regress_out": FRONTAL},
    "eyes_only": {"channels": FRONTAL},
    "recorded_reference": {"reference": None},
}
# Muscles of jaw and forehead are above the rhythms that these tasks are about.
_MUSCLE: Mapping[str, Any] = {
    "muscle_removed": {"fmax": 20.0},
    "muscle_only": {"fmin": 25.0, "channels": ("F7", "F8", "T3", "T4", "T5", "T6")},
}
_BENCHMARK = (
    "Filters, rate and reference: Lee et al. (2025), Assessing the Capabilities of Large Brainwave "
    "Foundation Models, ICLR workshop SCSL (0.5-45 Hz, 200 Hz, average reference)"
)

TASKS: Mapping[str, Task] = {
    **_with_controls(
        "imagery",
        Task(
            "imagined left against right fist",
            _folder(Eegmmidb),
            # 100 Hz, so that the recordings that are shared at that rate give the same trials.
            Windows({"left": ["left_hand"], "right": ["right_hand"]}, duration=4.0, resample=100.0),
            f"{Eegmmidb.source} {_BENCHMARK}, but 100 Hz.",
        ),
        **_EYES,
    ),
    **_with_controls(
        "rest",
        Task(
            "imagery against the rest before it",
            _folder(Eegmmidb),
            Windows(
                {"rest": ["rest"], "imagery": ["left_hand", "right_hand"]},
                duration=4.0,
                resample=100.0,
            ),
            f"{Eegmmidb.source} {_BENCHMARK}, but 100 Hz.",
        ),
        **_EYES,
    ),
    "eyes": Task(
        "eyes open against closed",
        _folder(EegmmidbEyes),
        Windows({"open": ["open"], "closed": ["closed"]}, duration=4.0),
        f"{EegmmidbEyes.source} Windows, {_BENCHMARK[0].lower()}{_BENCHMARK[1:]}.",
    ),
    **_with_controls(
        "arithmetic",
        Task(
            "mental arithmetic against rest",
            _folder(Eegmat),
            Windows({"rest": ["rest"], "arithmetic": ["arithmetic"]}, duration=4.0),
            f"{Eegmat.source} {_BENCHMARK}.",
        ),
        **_MUSCLE,
    ),
}


def open_task(name: str, data: Path | None, subjects: Sequence[str] | None = None) -> BaseDataset:
    """Find the recordings of a task."""
    return TASKS[name].dataset(standard_folder(data), subjects)
