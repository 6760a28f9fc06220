# License: BSD-3-Clause
"""Band power of the surface Laplacian, with a linear probe."""

from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from mne_neurorvq.benchmarks import LinearProbe, WithinSubjects
from mne_neurorvq.benchmarks.steps import log_power

PIPELINE = {
    "name": "Laplacian band power",
    "paradigms": ["Windows"],
    "pipeline": make_pipeline(
        WithinSubjects(
            FunctionTransformer(log_power, kw_args={"laplacian": True}), StandardScaler()
        ),
        LinearProbe(),
    ),
}
