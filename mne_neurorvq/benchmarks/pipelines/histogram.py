# License: BSD-3-Clause
"""Histogram of the frozen tokenizer's codes, with a linear probe."""

from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mne_neurorvq import NeuroRVQTransformer
from mne_neurorvq.benchmarks import LinearProbe, WithinSubjects

PIPELINE = {
    "name": "histogram",
    "paradigms": ["Windows"],
    "pipeline": make_pipeline(
        WithinSubjects(NeuroRVQTransformer(output="histogram"), StandardScaler()), LinearProbe()
    ),
}
