# License: BSD-3-Clause
"""Hudgins' time-domain features of muscles and hearts, with a linear probe."""

from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from mne_neurorvq.benchmarks import LinearProbe, WithinSubjects
from mne_neurorvq.benchmarks.steps import time_domain

PIPELINE = {
    "name": "time domain",
    "paradigms": ["Windows"],
    "signals": ["emg", "ecg"],
    "pipeline": make_pipeline(
        WithinSubjects(FunctionTransformer(time_domain), StandardScaler()), LinearProbe()
    ),
}
