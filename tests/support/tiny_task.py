# License: BSD-3-Clause
"""A task of the benchmark in memory: a few people, a few trials, a loud difference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mne
import numpy as np
from moabb.datasets.base import BaseDataset

from mne_neurorvq.benchmarks import TASKS, Task, Windows

CHANNELS = "Fp1 Fp2 C3 Cz C4 Pz".split()
SFREQ = 100.0
N_RUNS, N_TRIALS = 2, 6


def record(person: int, run: int, loud: float) -> mne.io.RawArray:
    """Alternate left and right, the right ones stronger over C3; everyone has their own gain."""
    rng = np.random.default_rng([person, run])
    onsets = 1.0 + 3.0 * np.arange(N_TRIALS)
    data = 2e-5 * rng.standard_normal((len(CHANNELS), int(SFREQ * (onsets[-1] + 3))))
    for onset in onsets[1::2]:
        data[2, int(SFREQ * onset) : int(SFREQ * (onset + 2))] *= loud
    data *= 2.0 ** (person - 2)
    info = mne.create_info(CHANNELS, SFREQ, "eeg")
    raw = mne.io.RawArray(data, info, verbose="error").set_montage("biosemi64")
    raw.set_annotations(mne.Annotations(onsets, 2.0, ["left_hand", "right_hand"] * (N_TRIALS // 2)))
    return raw


class TinyHands(BaseDataset):
    """People in memory; ``twins`` gives the last one the recordings of the first.

    ``loud`` is how much stronger a hand is; ``change`` is called with the number of each person
    and their recordings.
    """

    data_set = "tiny"

    def __init__(
        self,
        n_people: int = 4,
        twins: bool = False,
        loud: float = 3.0,
        change: Callable[[int, mne.io.RawArray], object] = lambda number, raw: None,
    ) -> None:
        self.twins, self.loud, self.change = twins, loud, change
        super().__init__(
            subjects=[f"P{number}" for number in range(1, n_people + 1)],
            sessions_per_subject=1,
            events={"left_hand": 1, "right_hand": 2},
            code="TinyHands",
            interval=[0, 2],
            paradigm="imagery",
        )

    def _get_single_subject_data(self, subject: str) -> dict[str, dict[str, mne.io.RawArray]]:
        number = int(subject[1:])
        if self.twins and number == len(self.subject_list):
            number = 1
        runs = {str(run): record(number, run, self.loud) for run in range(N_RUNS)}
        for raw in runs.values():
            self.change(number, raw)
        return {"0": runs}

    def data_path(self, *args: object, **kwargs: object) -> list[str]:
        return []


PARADIGM = Windows(
    {"left": ["left_hand"], "right": ["right_hand"]},
    duration=2.0,
    fmax=40.0,
    resample=SFREQ,
    reference=None,
)


def add_task(name: str = "tiny", **dataset: object) -> None:
    """Enter the task in the table of tasks."""
    TASKS[name] = Task("left / right", lambda data, people: TinyHands(**dataset), PARADIGM, "")


def write_pipeline(folder: Path, name: str, classifier: str, imports: str = "") -> Path:
    """Write a pipeline over log power, with a classifier that is given as code."""
    text = f'''
from sklearn.linear_model import LogisticRegression
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from mne_neurorvq.benchmarks import LinearProbe, WithinSubjects
from mne_neurorvq.benchmarks.steps import log_power
{imports}
PIPELINE = {{
    "name": "{name}",
    "paradigms": ["Windows"],
    "pipeline": make_pipeline(
        WithinSubjects(FunctionTransformer(log_power), StandardScaler()), {classifier}
    ),
}}
'''
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.py"
    path.write_text(text)
    return path
