# License: BSD-3-Clause
"""LaBraM (Jiang et al. 2024, ICLR), frozen, with a linear probe; 23 MB to be downloaded."""

from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mne_neurorvq.benchmarks import LinearProbe, WithinSubjects
from mne_neurorvq.benchmarks.pretrained_networks import PretrainedNetwork

network = PretrainedNetwork(
    "InterpolatedLaBraM", "braindecode/labram-pretrained", sfreq=200.0, scale="100uV"
)

PIPELINE = {
    "name": "LaBraM",
    "paradigms": ["Windows"],
    "download": True,
    "seen": None,  # The weights come without the names of the people.
    "pipeline": make_pipeline(WithinSubjects(network, StandardScaler()), LinearProbe()),
}
