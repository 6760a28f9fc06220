"""
Compare pipelines on public datasets, with MOABB
================================================

`MOABB <https://moabb.neurotechx.com>`_ runs pipelines on many public datasets under one protocol.
With ``return_epochs=True``, its evaluations pass :class:`mne.Epochs` to the pipelines: channel
names, units and rate come with the trials, and nothing has to be configured. Needs the extra
``moabb``.
"""

# %%
# A dataset
# ---------
# To build this page without a download, three simulated people stand in for a public dataset.
# ``real`` takes the name of any of MOABB's, of which the first three people are used.

# License: BSD-3-Clause

import mne
import moabb.datasets
from moabb.datasets.base import BaseDataset

from mne_neurorvq.datasets import simulate_recordings

real = None  # or the name of a dataset of motor imagery with rest, such as "PhysionetMI"

COMMON = "F3 Fz F4 T7 C3 Cz C4 T8 P3 Pz P4".split()  # on the head of every simulated person


class SimulatedHands(BaseDataset):
    """Rest, and imagined movement of the left and the right hand, from a simulation."""

    def __init__(self, n_subjects=3):
        self.recordings = simulate_recordings(n_subjects, trial_duration=2.0, verbose=False)
        super().__init__(
            subjects=list(range(1, n_subjects + 1)),
            sessions_per_subject=1,
            events={"left_hand": 1, "right_hand": 2, "rest": 3},
            code="SimulatedHands",
            interval=[0, 2],
            paradigm="imagery",
        )

    def _get_single_subject_data(self, subject):
        raw = self.recordings[subject - 1].copy().pick(COMMON)
        raw.annotations.rename({"left": "left_hand", "right": "right_hand"})
        return {"0": {"0": raw}}

    def data_path(self, *args, **kwargs):
        """Say where the files are; there are none."""
        raise NotImplementedError("there is nothing to download")


dataset = SimulatedHands() if real is None else getattr(moabb.datasets, real)()
dataset.subject_list = dataset.subject_list[:3]

# %%
# A paradigm
# ----------
# Rest against imagined movement of the left hand. MOABB filters motor imagery to 8-32 Hz by
# default; the model was trained on a wider band, and warns if signals have a narrower one. ``tmax``
# leaves out the sample after the last second, which would take one more patch.

from moabb.paradigms import MotorImagery

paradigm = MotorImagery(
    events=["rest", "left_hand"], n_classes=2, fmin=0.5, fmax=44.5, tmax=2.0 - 1 / 200
)

# %%
# Pipelines
# ---------
# Two ways to use the pretrained model, and a baseline: features of the frozen model with a linear
# classifier, a head trained on the frozen model, and common spatial patterns with LDA. For the
# baseline, Epochs become arrays and keep the mu and beta bands only.

from mne.decoding import CSP
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from mne_neurorvq import NeuroRVQClassifier, NeuroRVQTransformer


def mu_and_beta(epochs):
    """Signals of Epochs between 8 and 32 Hz."""
    return epochs.copy().filter(8.0, 32.0, verbose="error").get_data()


pipelines = {
    "embedding + logistic regression": make_pipeline(
        NeuroRVQTransformer("neurorvq-eeg-small"),
        StandardScaler(),
        LogisticRegression(max_iter=1000),
    ),
    "trained head": NeuroRVQClassifier("neurorvq-eeg-small", finetune="head", random_state=0),
    "CSP + LDA": make_pipeline(
        FunctionTransformer(mu_and_beta), CSP(n_components=4), LinearDiscriminantAnalysis()
    ),
}

# %%
# An evaluation
# -------------
# Each person in turn is left out; MOABB scores two classes by the area under the ROC curve. It
# keeps results in a file, by the parameters of a pipeline, and computes only what is missing: other
# parameters, or another ``revision`` of a model, are computed again. Here the file is in a
# temporary folder.

import tempfile
import warnings

from moabb.evaluations import CrossSubjectEvaluation

# MOABB leaves it to h5py to choose the type of its table of results.
warnings.filterwarnings("ignore", message="Creating a dataset without passing data or dtype")

with tempfile.TemporaryDirectory() as folder, mne.utils.use_log_level("error"):
    evaluation = CrossSubjectEvaluation(
        paradigm, [dataset], hdf5_path=folder, return_epochs=True, random_state=0
    )
    results = evaluation.process(pipelines)

scores = results.pivot(index="subject", columns="pipeline", values="score")[list(pipelines)]
print(scores.round(2))

# %%
# Each dot is a person whom the pipeline has not seen.

import matplotlib.pyplot as plt
import numpy as np

fig, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
ax.set(ylabel="ROC AUC, trained on the others", ylim=(0, 1.05))
ax.set_xticks(range(len(scores)), [f"person {subject}" for subject in scores.index])
ax.axhline(0.5, color="0.4", ls=":", lw=1)
colours = ("#0072B2", "#56B4E9", "#D55E00")
for name, shift, colour in zip(scores, (-0.15, 0, 0.15), colours, strict=True):
    ax.plot(np.arange(len(scores)) + shift, scores[name], "o", color=colour, label=name)
ax.spines[["top", "right"]].set_visible(False)
fig.legend(loc="outside upper center", ncols=3, frameon=False)

# %%
# Three simulated people show usage, and not which pipeline is better: :doc:`/benchmark` is for
# that.
