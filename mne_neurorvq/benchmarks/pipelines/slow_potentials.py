# License: BSD-3-Clause
"""Potentials below 4 Hz, with shrinkage LDA: what eyes and evoked responses tell."""

from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from mne_neurorvq.benchmarks import WithinSubjects
from mne_neurorvq.benchmarks.steps import slow_potentials

PIPELINE = {
    "name": "slow potentials",
    "paradigms": ["Windows"],
    "pipeline": make_pipeline(
        WithinSubjects(FunctionTransformer(slow_potentials), StandardScaler()),
        LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
    ),
}
