# License: BSD-3-Clause
"""Covariances of 8-30 Hz in the tangent space, recentred within people.

Barachant et al. (2012), IEEE Trans Biomed Eng 59(4); Zanini et al. (2018), IEEE Trans Biomed Eng
65(5).
"""

from pyriemann.estimation import Covariances
from pyriemann.preprocessing import Whitening
from pyriemann.tangentspace import TangentSpace
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from mne_neurorvq.benchmarks import LinearProbe, WithinSubjects
from mne_neurorvq.benchmarks.steps import band_signals

PIPELINE = {
    "name": "tangent space",
    "paradigms": ["Windows"],
    "pipeline": make_pipeline(
        WithinSubjects(
            make_pipeline(FunctionTransformer(band_signals), Covariances("oas")),
            Whitening(metric="riemann"),
        ),
        TangentSpace(metric="riemann"),
        LinearProbe(),
    ),
}
