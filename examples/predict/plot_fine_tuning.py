"""
Fine-tune on some people, predict others
========================================

:class:`~mne_neurorvq.NeuroRVQClassifier` fine-tunes the pretrained model on labelled trials. The
trials here are simulated: people who rest, or imagine moving the left or the right hand. Some
people are used for training, some for validation, and the rest are predicted at the end.
"""

# License: BSD-3-Clause

# %%
# Three groups of people
# ----------------------
# Two channels over the hand areas keep this page fast. The last six people are held out; nothing
# below sees them before the predictions.

import numpy as np

from mne_neurorvq import NeuroRVQClassifier, datasets, load_estimator

epochs = datasets.simulate_epochs(
    n_subjects=22, n_trials=8, conditions=("rest", "left", "right"), verbose=False
).pick(["C3", "C4"])
y = datasets.trial_column(epochs, "condition")
subjects = datasets.trial_column(epochs, "subject")
unseen = np.isin(subjects, np.unique(subjects)[-6:])
print(epochs)

# %%
# Fine-tune
# ---------
# Labels need no encoding. With ``groups``, ``validation_fraction=0.25`` holds out a quarter of the
# *people*, so early stopping never looks at someone who is trained on. It stops after three epochs
# without a lower validation loss and keeps the weights of the best one. The head reads the features
# of each channel, since left and right differ in where the rhythm is.

model = NeuroRVQClassifier(
    "neurorvq-eeg-small",
    reference="recorded",  # an average of two electrodes says little
    max_epochs=12,
    warmup_epochs=2,
    validation_fraction=0.25,
    early_stopping=3,
    random_state=0,
)
model.fit(epochs[~unseen], y[~unseen], groups=subjects[~unseen])
seconds = sum(row["seconds"] for row in model.history_)
print(f"{model.n_trainable_parameters_:,} parameters trained in {seconds:.0f} s")

# %%
# The learning curve
# ------------------
# ``history_`` is a list with a dictionary for each epoch. The training loss keeps falling; what
# counts is the validation loss.

import matplotlib.pyplot as plt

epoch, train_loss, valid_loss, accuracy = (
    [row[name] for row in model.history_]
    for name in ("epoch", "train_loss", "valid_loss", "valid_balanced_accuracy")
)
best = epoch[np.argmin(valid_loss)]
fig, axes = plt.subplots(1, 2, figsize=(8, 3.5), sharex=True, layout="constrained")
axes[0].plot(epoch, train_loss, "o-", ms=4, color="C0", label="training")
axes[0].plot(epoch, valid_loss, "o-", ms=4, color="C1", label="validation")
axes[0].set(ylabel="cross-entropy (nats)", xticks=epoch)
axes[1].plot(epoch, accuracy, "o-", ms=4, color="C1", label="validation")
axes[1].axhline(1 / 3, color="0.4", ls=":", lw=1, label="chance")
axes[1].set(ylabel="balanced accuracy", ylim=(0, 1))
for ax in axes:
    ax.axvline(best, color="0.7", lw=6, alpha=0.4, zorder=0, label="best epoch")
    ax.set_xlabel("epoch")
    ax.legend(loc="best" if ax is axes[0] else "lower right")

# %%
# New people
# ----------

from sklearn.metrics import ConfusionMatrixDisplay, balanced_accuracy_score

score = balanced_accuracy_score(y[unseen], model.predict(epochs[unseen]))
fig, ax = plt.subplots(figsize=(4.5, 4), layout="constrained")
ConfusionMatrixDisplay.from_estimator(
    model,
    epochs[unseen],
    y[unseen],
    labels=["rest", "left", "right"],
    normalize="true",
    values_format=".0%",
    cmap="Blues",
    colorbar=False,
    im_kw={"vmin": 0, "vmax": 1},
    ax=ax,
)
ax.set(
    xlabel="predicted",
    ylabel="condition (rows sum to 100 %)",
    title=f"6 new people: balanced accuracy {score:.2f}",
)

# %%
# Head or whole model
# -------------------
# ``finetune="head"`` encodes the trials once and trains only the head, in a fraction of the time.

head = NeuroRVQClassifier(finetune="head", reference="recorded", random_state=0)
predicted = head.fit(epochs[~unseen], y[~unseen]).predict(epochs[unseen])
print(f"head alone {balanced_accuracy_score(y[unseen], predicted):.2f}, full {score:.2f}")

# %%
# Which is better depends on the data, and these are simulated: :doc:`/finetuning` says when to try
# which.

# %%
# Save the model
# --------------
# ``save`` writes a folder of safetensors and JSON, without pickles.

import tempfile

with tempfile.TemporaryDirectory() as folder:
    model.save(folder)
    loaded = load_estimator(folder)
print((loaded.predict(epochs[unseen]) == model.predict(epochs[unseen])).all())
