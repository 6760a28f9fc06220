# License: BSD-3-Clause
"""The tasks: what is told apart, on which recordings, after which filters, and who says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mne
from moabb.datasets import BNCI2014_001, Lee2019_ERP, Schirrmeister2017
from moabb.datasets.base import BaseDataset
from moabb.paradigms.base import BaseParadigm

from .clinical_recordings import DigitSpan, SleepEdf, Tuab, Tuev
from .paradigm import FRONTAL, Windows
from .recordings import (
    Eegmat,
    Eegmmidb,
    EegmmidbEyes,
    FolderDataset,
    GrazWithEyes,
    LowerLimb,
    Origin,
    PtbXl,
    standard_folder,
)


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
    download : str
        Empty if nothing is downloaded, else by whom and what; such a task is run where it is named.
    control : str
        Empty for the task as published, else what is different.
    of : str
        Name of the task that this one is a control of, else empty.
    across : bool
        Whether features are left as they are: what is asked differs between people, not within.
    """

    title: str
    dataset: Callable[[Path, Sequence[str] | None], BaseDataset]
    paradigm: BaseParadigm
    source: str
    download: str = ""
    control: str = ""
    of: str = ""
    across: bool = False


def _folder(kind: type[FolderDataset]) -> Callable[[Path, Sequence[str] | None], BaseDataset]:
    return lambda data, subjects: kind(data, subjects)


def _moabb(kind: type[BaseDataset]) -> Callable[[Path, Sequence[str] | None], BaseDataset]:
    def make(data: Path, subjects: Sequence[str] | None) -> BaseDataset:
        people = None if subjects is None else [int(subject) for subject in subjects]
        dataset = kind(subjects=people)
        dataset.data_set = dataset.code
        return dataset

    return make


def _with_controls(
    name: str,
    task: Task,
    dataset: Callable[[Path, Sequence[str] | None], BaseDataset] | None = None,
    **settings: Any,
) -> dict[str, Task]:
    """Give a task three times: as published, without what is known to mislead, and of that alone.

    ``settings`` are those of the paradigm that differ, by the name of the control; ``dataset`` is
    that of the controls, if it is another.
    """
    found = {name: task}
    for control, changed in settings.items():
        title = control.replace("_", " ")
        found[f"{name}-{control.replace('_', '-')}"] = replace(
            task,
            dataset=dataset or task.dataset,
            paradigm=_changed(task.paradigm, changed),
            control=title,
            of=name,
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
_HEART: Mapping[str, Any] = {
    "duration": 10.0,
    "fmin": 0.5,
    "fmax": 45.0,
    "resample": 100.0,
    "reference": None,
    "signal": "ecg",
}
_BENCHMARK = (
    "Filters, rate and reference: Lee et al. (2025), Assessing the Capabilities of Large Brainwave "
    "Foundation Models, ICLR workshop SCSL (0.5-45 Hz, 200 Hz, average reference)"
)

TASKS: dict[str, Task] = {
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
    **_with_controls(
        "memory",
        Task(
            "thirteen digits remembered against only heard",
            _folder(DigitSpan),
            Windows({n: [n] for n in DigitSpan.events}, tmin=14.0, duration=4.0),
            f"{DigitSpan.source} 14-18 s after the first digit, {_BENCHMARK}.",
        ),
        muscle_removed={"fmax": 20.0},
        muscle_only={"fmin": 25.0, "channels": ("F7", "F8", "T7", "T8", "P7", "P8")},
    ),
    "origin": Task(
        "two data sets, of which features should know nothing",
        _folder(Origin),
        Windows({n: [n] for n in Origin.events}, duration=4.0, resample=100.0),
        f"{Origin.source} {_BENCHMARK}, but 100 Hz.",
        across=True,
    ),
    "diagnosis": Task(
        "a normal electrocardiogram against any diagnosis",
        _folder(PtbXl),
        Windows({"normal": ["NORM"], "abnormal": ["MI", "STTC", "CD", "HYP", "several"]}, **_HEART),
        f"{PtbXl.source} 100 Hz as in Strodthoff et al. (2021), IEEE J Biomed Health Inform 25(5), "
        "but two classes and folds of our own.",
    ),
    "superclasses": Task(
        "five superclasses of diagnoses, of records that have one",
        _folder(PtbXl),
        Windows({name: [name] for name in ("NORM", "MI", "STTC", "CD", "HYP")}, **_HEART),
        f"{PtbXl.source} 100 Hz as in Strodthoff et al. (2021), IEEE J Biomed Health Inform 25(5), "
        "who predict several labels at once.",
    ),
    "movements": Task(
        "walking, extending and flexing the knee",
        _folder(LowerLimb),
        Windows(
            {name: [name] for name in ("gait", "sitting", "standing")},
            duration=2.0,
            fmin=20.0,
            fmax=450.0,
            resample=1000.0,
            reference=None,
            signal="emg",
        ),
        f"{LowerLimb.source} 20-450 Hz: De Luca et al. (2010), J Biomech 43(8).",
    ),
    "sleep": Task(
        "six stages of sleep, of two bipolar channels, which of the models only BioCodec takes",
        _folder(SleepEdf),
        # The mean of two derivations would make one the negative of the other.
        Windows({n: [n] for n in SleepEdf.events}, duration=30.0, resample=100.0, reference=None),
        f"{SleepEdf.source} Windows, {_BENCHMARK[0].lower()}{_BENCHMARK[1:]}, but 100 Hz and the "
        "recorded derivations.",
    ),
    "abnormal": Task(
        "normal against abnormal recordings",
        _folder(Tuab),
        Windows({n: [n] for n in Tuab.events}, duration=10.0),
        f"{Tuab.source} {_BENCHMARK}.",
    ),
    "events": Task(
        "six kinds of clinical events",
        _folder(Tuev),
        Windows({n: [n] for n in Tuev.events}, duration=5.0, tmin=-2.0),
        f"{Tuev.source} {_BENCHMARK}.",
    ),
    **_with_controls(
        "execution",
        Task(
            "movements of left hand, right hand and feet, and rest",
            _moabb(Schirrmeister2017),
            Windows({n: [n] for n in ("left_hand", "right_hand", "feet", "rest")}, duration=4.0),
            f"Schirrmeister et al. (2017), Hum Brain Mapp 38(11). {_BENCHMARK}.",
            download="High Gamma, 14 people, about 19 GB, by MOABB",
        ),
        **_EYES,
    ),
    **_with_controls(
        "imagery-4",
        Task(
            "imagery of left hand, right hand, feet and tongue",
            _moabb(BNCI2014_001),
            Windows({n: [n] for n in ("left_hand", "right_hand", "feet", "tongue")}, duration=4.0),
            f"Tangermann et al. (2012), Front Neurosci 6:55. {_BENCHMARK}.",
            download="BCI competition IV 2a, 9 people, about 0.7 GB, by MOABB",
        ),
        _moabb(GrazWithEyes),
        eyes_removed={"regress_out": tuple(GrazWithEyes.sites.values())},
        eyes_only={"channels": tuple(GrazWithEyes.sites.values())},
    ),
    "erp": Task(
        "target against other letters",
        _moabb(Lee2019_ERP),
        Windows({"target": ["Target"], "other": ["NonTarget"]}, tmin=-0.2, duration=1.0),
        f"Lee et al. (2019), GigaScience 8(5). {_BENCHMARK}.",
        download="OpenBMI, 54 people, about 39 GB, by MOABB",
    ),
}


def open_task(name: str, data: Path | None, subjects: Sequence[str] | None = None) -> BaseDataset:
    """Find the recordings of a task."""
    with mne.utils.use_log_level("error"):
        return TASKS[name].dataset(standard_folder(data), subjects)
