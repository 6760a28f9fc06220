"""
Scores on people the classifier has not seen
============================================

An embedding is useful if a simple classifier on it works for *other people*. Here
:class:`mne.Epochs` of several people go through scikit-learn's cross-validation, with a different
set of people in every fold, and the pretrained model is compared with two controls: the same
network with random weights, and the power in five frequency bands.
"""

# %%
# Several people
# --------------
# The simulated ones differ in the frequency of their alpha rhythm, in gain, noise and montage. In
# each trial they rest, or imagine that a hand moves. ``real`` takes PhysioNet EEG Motor
# Movement/Imagery, which MNE downloads if it is not in the folder.

# License: BSD-3-Clause

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mne_neurorvq import (
    GroupStandardScaler,
    NeuroRVQTransformer,
    benchmarks,
    datasets,
    preprocess,
    viz,
)

real = None  # or a folder with MNE-eegbci-data

channels = "F3 Fz F4 T7 C3 Cz C4 T8 P3 Pz P4 O1 O2".split()
if real is None:
    recordings = datasets.simulate_recordings(8, 6, verbose=False)
else:
    recordings = datasets.load_eegbci(range(9, 15), 4, path=real, verbose=False)
epochs = datasets.epochs_from_recordings(
    [preprocess(raw) for raw in recordings],
    0.0,
    4.0 - 1 / recordings[0].info["sfreq"],
    picks=channels,
    verbose=False,
)
y = np.where(datasets.trial_column(epochs, "condition") == "rest", "rest", "imagery")
subjects = datasets.trial_column(epochs, "subject")
print(f"{len(epochs)} trials of {len(np.unique(subjects))} people")

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
    pipeline, epochs, y, groups=subjects, cv=GroupKFold(4), scoring="balanced_accuracy"
)
print(f"balanced accuracy {scores.mean():.2f} ± {scores.std():.2f} over 4 folds of people")
pipeline

# %%
# Comparison with controls
# ------------------------
# The transformer is frozen, so it can run once before the cross-validation. Each kind of feature is
# standardised within each person, which uses no labels, and scored person by person.

features = {
    "embedding": NeuroRVQTransformer("neurorvq-eeg-small").fit_transform(epochs),
    "random weights": NeuroRVQTransformer("neurorvq-eeg-small-random").fit_transform(epochs),
    "band power": benchmarks.band_power(epochs),
}
results = {}
for name, X in features.items():
    X = GroupStandardScaler().fit_transform(X.reshape(len(X), -1), groups=subjects)
    results[name] = benchmarks.cross_subject_scores(X, y, subjects, n_splits=4, seeds=(0, 1))
    print(f"{name:>14}: {results[name]}")
print(results["embedding"].difference_from(results["band power"]))

viz.plot_benchmark(results)

# %%
# The figure shows eight simulated people, in whom the difference between the conditions *is* band
# power, which is therefore hard to beat. It does not show how the features rank on real people:
# that depends on the data, so always look at the controls. :doc:`/feature_study` has figures
# measured on real people.
