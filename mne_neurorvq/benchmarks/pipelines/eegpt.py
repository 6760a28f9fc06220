# License: BSD-3-Clause
"""EEGPT (Wang et al. 2024, NeurIPS), frozen, with a linear probe; 101 MB to be downloaded."""

from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mne_neurorvq.benchmarks import LinearProbe, WithinSubjects
from mne_neurorvq.benchmarks.pretrained_networks import PretrainedNetwork

network = PretrainedNetwork(
    "InterpolatedEEGPT",
    "braindecode/eegpt-pretrained",
    sfreq=256.0,
    scale="z-score",
    settings={"chan_proj_type": "none"},
)

PIPELINE = {
    "name": "EEGPT",
    "paradigms": ["Windows"],
    "download": True,
    "seen": None,  # The weights come without the names of the people.
    "pipeline": make_pipeline(WithinSubjects(network, StandardScaler()), LinearProbe()),
}
