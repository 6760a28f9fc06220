# License: BSD-3-Clause
"""Embedding of the frozen model for each channel, with a linear probe."""

from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mne_neurorvq import NeuroRVQTransformer
from mne_neurorvq.benchmarks import LinearProbe, WithinSubjects

PIPELINE = {
    "name": "embedding, per channel",
    "paradigms": ["Windows"],
    "pipeline": make_pipeline(
        WithinSubjects(NeuroRVQTransformer(pool="time"), StandardScaler()), LinearProbe()
    ),
}
