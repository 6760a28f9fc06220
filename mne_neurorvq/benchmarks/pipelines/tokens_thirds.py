# License: BSD-3-Clause
"""Embedding, for each third of a trial, of what the tokens decode to, with a linear probe."""

from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mne_neurorvq import NeuroRVQTransformer
from mne_neurorvq.benchmarks import FromTokens, LinearProbe, WithinSubjects

PIPELINE = {
    "name": "embedding of decoded tokens, thirds",
    "paradigms": ["Windows"],
    "pipeline": make_pipeline(
        WithinSubjects(FromTokens(NeuroRVQTransformer(pool="thirds")), StandardScaler()),
        LinearProbe(),
    ),
}
