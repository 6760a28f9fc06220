# License: BSD-3-Clause
"""Mean embedding of the frozen model, with a linear probe."""

from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mne_neurorvq import NeuroRVQTransformer
from mne_neurorvq.benchmarks import LinearProbe, WithinSubjects

PIPELINE = {
    "name": "embedding",
    "paradigms": ["Windows"],
    "pipeline": make_pipeline(
        WithinSubjects(NeuroRVQTransformer(pool="mean"), StandardScaler()), LinearProbe()
    ),
}
