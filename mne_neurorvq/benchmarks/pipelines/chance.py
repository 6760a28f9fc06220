# License: BSD-3-Clause
"""The most frequent class of the training trials."""

from sklearn.dummy import DummyClassifier
from sklearn.pipeline import make_pipeline

PIPELINE = {
    "name": "chance",
    "paradigms": ["Windows"],
    "signals": ["eeg", "ecg", "emg"],
    "pipeline": make_pipeline(DummyClassifier(strategy="most_frequent")),
}
