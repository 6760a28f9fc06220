# License: BSD-3-Clause
"""Band power of every channel, with a linear probe."""

from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from mne_neurorvq.benchmarks import LinearProbe, WithinSubjects
from mne_neurorvq.benchmarks.steps import log_power

PIPELINE = {
    "name": "band power",
    "paradigms": ["Windows"],
    "signals": ["eeg", "ecg"],
    "pipeline": make_pipeline(
        WithinSubjects(FunctionTransformer(log_power), StandardScaler()), LinearProbe()
    ),
}
