"""
Scores on people the classifier has not seen
============================================

An embedding is useful if a simple classifier on it works for *other people*. Here
:class:`mne.Epochs` of several simulated people go through scikit-learn's cross-validation, with a
different set of people in every fold, and the pretrained model is compared with two controls: the
same network with random weights, and the power in five frequency bands.
"""

# License: BSD-3-Clause

# %%
# Several people
# --------------
# They differ in the frequency of their alpha rhythm, in gain, noise and montage. In each trial the
# person rests or imagines moving the left hand.

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mne_neurorvq import GroupStandardScaler, NeuroRVQTransformer, benchmarks, datasets

epochs = datasets.simulate_epochs(
    n_subjects=6, n_trials=12, conditions=("rest", "left"), verbose=False
)
y = datasets.trial_column(epochs, "condition")
subjects = datasets.trial_column(epochs, "subject")
print(epochs)

# %%
# A pipeline under GroupKFold
# ---------------------------
# The transformer is a step like any other. ``groups`` keeps all trials of a person in one fold.

pipeline = make_pipeline(
    NeuroRVQTransformer("neurorvq-eeg-small"),
    StandardScaler(),
    LogisticRegression(C=0.01, max_iter=1000),
)
scores = cross_val_score(
    pipeline, epochs, y, groups=subjects, cv=GroupKFold(3), scoring="balanced_accuracy"
)
print(f"balanced accuracy {scores.mean():.2f} ± {scores.std():.2f} over 3 folds of 2 people")

# %%
# Comparison with controls
# ------------------------
# The transformer is frozen, so it can run once before the cross-validation. Each kind of feature is
# scored as it is, and standardised within each person, which uses no labels.

features = {
    "embedding": NeuroRVQTransformer("neurorvq-eeg-small").fit_transform(epochs),
    "random weights": NeuroRVQTransformer("neurorvq-eeg-small-random").fit_transform(epochs),
    "band power": benchmarks.band_power(epochs),
}
classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
results = {}
for name, X in features.items():
    X = X.reshape(len(X), -1)
    per_person = GroupStandardScaler().fit_transform(X, groups=subjects)
    for label, data in ((name, X), (f"{name}, per person", per_person)):
        results[label] = cross_val_score(
            classifier, data, y, groups=subjects, cv=GroupKFold(3), scoring="balanced_accuracy"
        )
        print(f"{label:>28}: {results[label].mean():.2f} ± {results[label].std():.2f}")

# %%
# The ranking depends on the data: in these simulated people, the difference between the conditions
# *is* band power. Always look at the controls.

import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
for row, (_, values) in enumerate(results.items()):
    ax.plot(values, np.full(len(values), row), "o", color="0.6")
    ax.plot(values.mean(), row, "|", ms=18, mew=3, color="C0")
ax.set_yticks(range(len(results)), list(results))
ax.axvline(0.5, color="0.4", ls=":", lw=1)
ax.set(xlabel="balanced accuracy on new people (dots: folds)", xlim=(0.3, 1.02))
ax.invert_yaxis()
