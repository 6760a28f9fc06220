# License: BSD-3-Clause
"""CBraMod (Wang et al. 2025, ICLR), frozen, with a linear probe; 20 MB to be downloaded."""

from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mne_neurorvq.benchmarks import LinearProbe, WithinSubjects
from mne_neurorvq.benchmarks.pretrained_networks import PretrainedNetwork

network = PretrainedNetwork("CBraMod", "braindecode/cbramod-pretrained", sfreq=200.0, scale="100uV")

PIPELINE = {
    "name": "CBraMod",
    "paradigms": ["Windows"],
    "download": True,
    "seen": None,  # The weights come without the names of the people.
    "pipeline": make_pipeline(WithinSubjects(network, StandardScaler()), LinearProbe()),
}
