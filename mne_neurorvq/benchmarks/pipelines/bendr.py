# License: BSD-3-Clause
"""BENDR (Kostas et al. 2021), frozen, with a linear probe; 629 MB to be downloaded."""

from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mne_neurorvq.benchmarks import LinearProbe, WithinSubjects
from mne_neurorvq.benchmarks.pretrained_networks import PretrainedNetwork

network = PretrainedNetwork(
    "InterpolatedBENDR", "braindecode/braindecode-bendr", sfreq=256.0, scale="range"
)

PIPELINE = {
    "name": "BENDR",
    "paradigms": ["Windows"],
    "download": True,
    "seen": None,  # The weights come without the names of the people.
    "pipeline": make_pipeline(WithinSubjects(network, StandardScaler()), LinearProbe()),
}
