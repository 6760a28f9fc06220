# License: BSD-3-Clause
"""Common spatial patterns of 8-30 Hz with LDA (Koles et al. 1990, Brain Topography 2(4))."""

from mne.decoding import CSP
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from mne_neurorvq.benchmarks.steps import band_signals

PIPELINE = {
    "name": "CSP + LDA",
    "paradigms": ["Windows"],
    "pipeline": make_pipeline(
        FunctionTransformer(band_signals),
        CSP(6, reg="oas", log=True),
        LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
    ),
}
