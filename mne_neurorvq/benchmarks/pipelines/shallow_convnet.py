# License: BSD-3-Clause
"""ShallowFBCSPNet (Schirrmeister et al. 2017, Hum Brain Mapp 38(11))."""

from sklearn.pipeline import make_pipeline

from mne_neurorvq.benchmarks.networks import network

PIPELINE = {
    "name": "ShallowFBCSPNet",
    "paradigms": ["Windows"],
    "signals": ["eeg", "ecg", "emg"],
    "pipeline": make_pipeline(network("ShallowFBCSPNet", lr=6.25e-4)),
}
