# License: BSD-3-Clause
"""The whole model and a head trained, stopped on people who are not trained on."""

from sklearn import config_context
from sklearn.pipeline import make_pipeline

from mne_neurorvq import NeuroRVQClassifier

classifier = NeuroRVQClassifier(finetune="full", validation_fraction=0.2, early_stopping=True)
with config_context(enable_metadata_routing=True):
    classifier.set_fit_request(groups="subjects")

PIPELINE = {
    "name": "full",
    "paradigms": ["Windows"],
    "pipeline": make_pipeline(classifier),
}
