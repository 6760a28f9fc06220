"""
The model among braindecode's, and skorch's callbacks
=====================================================

:class:`~mne_neurorvq.models.NeuroRVQ` trains in ``braindecode.EEGClassifier`` like any model of
braindecode, from pretrained weights and beside other networks. The callbacks of skorch work there,
and in the classifiers of this package.
"""

# %%
# Trials
# ------
# Two seconds of two channels over the hand areas, of people who rest or imagine that a hand moves.
# ``real`` takes PhysioNet EEG Motor Movement/Imagery.

# License: BSD-3-Clause

import warnings

# braindecode 1.8 asks MNE for a montage by a name that is going away.
warnings.filterwarnings("ignore", message="Montage name")

import matplotlib.pyplot as plt
import numpy as np
import torch
from braindecode import EEGClassifier
from braindecode.models import ShallowFBCSPNet
from skorch.callbacks import EpochScoring, Freezer
from skorch.dataset import Dataset
from skorch.helper import predefined_split

from mne_neurorvq import NeuroRVQClassifier, datasets, load_pretrained, preprocess
from mne_neurorvq.models import NeuroRVQ

real = None  # or a folder with MNE-eegbci-data

if real is None:
    recordings = datasets.simulate_recordings(12, 6, trial_duration=2.0, verbose=False)
else:
    recordings = datasets.load_eegbci(range(9, 17), 4, path=real, verbose=False)
epochs = datasets.epochs_from_recordings(
    [preprocess(raw) for raw in recordings],
    0.0,
    1.995,
    picks=["C3", "C4"],
    sfreq=200.0,
    verbose=False,
)
condition = np.where(datasets.trial_column(epochs, "condition") == "rest", "rest", "imagery")
people = datasets.trial_column(epochs, "subject")
watched = np.isin(people, np.unique(people)[-4:])
print(f"{(~watched).sum()} trials to train on, {watched.sum()} of four other people to watch")

# %%
# Three networks under one training loop
# --------------------------------------
# The pretrained model with all its weights, with its trunk frozen, and the shallow network of
# braindecode. braindecode reads microvolts and counts classes from 0.

X, y = epochs.get_data(units="uV").astype("float32"), (condition == "imagery").astype(int)
foundation = load_pretrained("neurorvq-eeg-small").foundation
networks = {
    "NeuroRVQ, all weights": (NeuroRVQ, {"module__pretrained": foundation}, []),
    "NeuroRVQ, trunk frozen": (
        NeuroRVQ,
        {"module__pretrained": foundation},
        [Freezer("encoder.*")],
    ),
    "shallow network": (ShallowFBCSPNet, {}, []),
}
curves = {}
for name, (module, options, callbacks) in networks.items():
    torch.manual_seed(0)
    classifier = EEGClassifier(
        module,
        **options,
        module__chs_info=epochs.info["chs"],
        module__sfreq=epochs.info["sfreq"],
        module__n_times=X.shape[-1],
        module__n_outputs=2,
        optimizer=torch.optim.AdamW,
        lr=5e-4,
        max_epochs=6,
        batch_size=16,
        iterator_train__drop_last=False,
        train_split=predefined_split(Dataset(X[watched], y[watched])),
        callbacks=[
            ("score", EpochScoring("balanced_accuracy", lower_is_better=False, name="score")),
            *callbacks,
        ],
        verbose=0,
    )
    classifier.fit(X[~watched], y[~watched])
    curves[name] = {
        key: classifier.history[:, key] for key in ("train_loss", "valid_loss", "score")
    }

# %%
# How they learn
# --------------

fig, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for (name, curve), colour in zip(curves.items(), ("#0072B2", "#56B4E9", "#D55E00"), strict=True):
    epoch = np.arange(1, len(curve["score"]) + 1)
    axes[0].plot(epoch, curve["train_loss"], ":", color=colour)
    axes[0].plot(epoch, curve["valid_loss"], "-", color=colour)
    axes[1].plot(epoch, curve["score"], "-", color=colour, label=name)
axes[0].set(ylabel="cross-entropy (nats)\ndotted: training, line: other people")
axes[1].set(ylabel="balanced accuracy, other people", ylim=(0.3, 1.02))
axes[1].axhline(0.5, color="0.5", ls="--", lw=1)
for ax in axes:
    ax.set(xlabel="epoch", xticks=epoch)
    ax.spines[["top", "right"]].set_visible(False)
fig.legend(loc="outside upper center", ncols=3, frameon=False)

# %%
# The same callbacks here
# -----------------------
# :class:`~mne_neurorvq.NeuroRVQClassifier` takes the trials as they are: montage, rate, unit and
# labels, and scikit-learn's splitting.

model = NeuroRVQClassifier(
    "neurorvq-eeg-small",
    finetune="head",
    reference="recorded",
    max_epochs=6,
    callbacks=[EpochScoring("accuracy", lower_is_better=False, on_train=True, name="accuracy")],
    random_state=0,
)
model.fit(epochs[~watched], condition[~watched], groups=people[~watched])
print("accuracy in training:", ", ".join(f"{a:.2f}" for a in model.net_.history[:, "accuracy"]))
print(f"on the other people: {model.score(epochs[watched], condition[watched]):.2f}")

# %%
# Six epochs of a hundred simulated trials show that the parts fit together, not which network is
# best: see :doc:`/libraries` for what to mind, and :doc:`/benchmark` for a comparison.
