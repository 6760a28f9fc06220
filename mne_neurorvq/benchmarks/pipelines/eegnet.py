# License: BSD-3-Clause
"""EEGNet (Lawhern et al. 2018, J Neural Eng 15(5))."""

from sklearn.pipeline import make_pipeline

from mne_neurorvq.benchmarks.networks import network

PIPELINE = {
    "name": "EEGNet",
    "paradigms": ["Windows"],
    "signals": ["eeg", "ecg", "emg"],
    "pipeline": make_pipeline(network("EEGNet", lr=1e-3)),
}
