"""
Fine-tune on some people, predict others
========================================

:class:`~mne_neurorvq.NeuroRVQClassifier` fine-tunes the pretrained model on labelled trials. Some
people are used for training, some for validation, and the rest are predicted at the end: rest, or
imagined movement of the left or right hand.
"""

# %%
# Three groups of people
# ----------------------
# Two channels over the hand areas keep this page fast. The last six people are held out; nothing
# below sees them before the predictions. ``real`` takes PhysioNet EEG Motor Movement/Imagery.

# License: BSD-3-Clause
# sphinx_gallery_thumbnail_number = 2

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import ConfusionMatrixDisplay, balanced_accuracy_score

from mne_neurorvq import NeuroRVQClassifier, datasets, load_estimator, preprocess, viz

real = None  # or a folder with MNE-eegbci-data

if real is None:
    recordings = datasets.simulate_recordings(20, 8, verbose=False)
else:
    recordings = datasets.load_eegbci(range(9, 17), 4, path=real, verbose=False)
epochs = datasets.epochs_from_recordings(
    [preprocess(raw) for raw in recordings],
    0.0,
    4.0 - 1 / recordings[0].info["sfreq"],
    picks=["C3", "C4"],
    verbose=False,
)
y = datasets.trial_column(epochs, "condition")
people = datasets.trial_column(epochs, "subject")
unseen = np.isin(people, np.unique(people)[-6:] if real is None else np.unique(people)[-2:])
print(f"{(~unseen).sum()} trials to learn from, {unseen.sum()} of other people to predict")

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
    max_epochs=8,
    warmup_epochs=2,
    validation_fraction=0.25,
    early_stopping=3,
    random_state=0,
)
model.fit(epochs[~unseen], y[~unseen], groups=people[~unseen])
print(f"{model.n_trainable_parameters_:,} parameters, {len(model.history_)} epochs")

# %%
# The learning curve
# ------------------
# The training loss keeps falling; what counts is the validation loss.

viz.plot_learning_curve(model)

# %%
# New people
# ----------

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
    title=f"new people: balanced accuracy {score:.2f}",
)

# %%
# Head or whole model
# -------------------
# ``finetune="head"`` encodes the trials once and trains only the head, in a fraction of the time.

head = NeuroRVQClassifier(finetune="head", reference="recorded", random_state=0)
predicted = head.fit(epochs[~unseen], y[~unseen]).predict(epochs[unseen])
print(f"head alone {balanced_accuracy_score(y[unseen], predicted):.2f}, full {score:.2f}")

# %%
# Save the model
# --------------
# ``save`` writes a folder of safetensors and JSON, without pickles.

import tempfile

with tempfile.TemporaryDirectory() as folder:
    model.save(folder)
    loaded = load_estimator(folder)
print((loaded.predict(epochs[unseen]) == model.predict(epochs[unseen])).all())

# %%
# The figures show how a fine-tuning goes, on people whose classes differ in one rhythm. They do not
# show that it is worth its time on yours: :doc:`/finetuning` says when to try the head, adapters or
# the whole model.
