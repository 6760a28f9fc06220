# License: BSD-3-Clause
"""Embedding of each channel and third of the window, with a linear probe."""

from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mne_neurorvq import NeuroRVQTransformer
from mne_neurorvq.benchmarks import LinearProbe, WithinSubjects

PIPELINE = {
    "name": "embedding, thirds",
    "paradigms": ["Windows"],
    "pipeline": make_pipeline(
        WithinSubjects(NeuroRVQTransformer(pool="thirds"), StandardScaler()), LinearProbe()
    ),
}
