# License: BSD-3-Clause
"""BIOT (Yang et al. 2023, NeurIPS), frozen, with a linear probe; 13 MB to be downloaded."""

from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mne_neurorvq.benchmarks import LinearProbe, WithinSubjects
from mne_neurorvq.benchmarks.pretrained_networks import PretrainedNetwork

network = PretrainedNetwork(
    "InterpolatedBIOT",
    "braindecode/biot-pretrained-six-datasets-18chs",
    sfreq=200.0,
    scale="percentile",
)

PIPELINE = {
    "name": "BIOT",
    "paradigms": ["Windows"],
    "download": True,
    "seen": None,  # The weights come without the names of the people.
    "pipeline": make_pipeline(WithinSubjects(network, StandardScaler()), LinearProbe()),
}
