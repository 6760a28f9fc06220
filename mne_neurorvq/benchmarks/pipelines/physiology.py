# License: BSD-3-Clause
"""Physiological numbers that the model tells of each channel and third, with a linear probe."""

from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mne_neurorvq import NeuroRVQTransformer
from mne_neurorvq.benchmarks import LinearProbe, WithinSubjects

PIPELINE = {
    "name": "physiology, thirds",
    "paradigms": ["Windows"],
    "pipeline": make_pipeline(
        WithinSubjects(NeuroRVQTransformer(output="physiology"), StandardScaler()), LinearProbe()
    ),
}
