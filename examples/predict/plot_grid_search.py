"""
Let cross-validation choose pooling and levels
==============================================

How features are pooled, and which levels of the codes they are made of, are parameters like any
other: :class:`~sklearn.model_selection.GridSearchCV` chooses them. A second, outer cross-validation
says what the choice is worth on people who took no part in it.
"""

# %%
# Several people
# --------------
# At rest, or imagining that a hand moves. ``real`` takes recordings of PhysioNet EEG Motor
# Movement/Imagery, which MNE downloads if they are not in the folder.

# License: BSD-3-Clause

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mne_neurorvq import BioCodecTransformer, benchmarks, datasets, preprocess

real = None  # or a folder with MNE-eegbci-data

channels = ["C3", "Cz", "C4"]
if real is None:
    recordings = datasets.simulate_recordings(6, 6, trial_duration=4.0, sfreq=250.0, verbose=False)
else:
    recordings = datasets.load_eegbci(range(9, 15), 4, path=real, verbose=False)
recordings = [preprocess(raw, "biocodec-eeg-small") for raw in recordings]
epochs = datasets.epochs_from_recordings(
    recordings, 0.0, 3.996, picks=channels, sfreq=250.0, verbose=False
)
y = np.where(datasets.trial_column(epochs, "condition") == "rest", "rest", "imagery")
people = datasets.trial_column(epochs, "subject")
print(f"{len(epochs)} trials of {len(np.unique(people))} people")

# %%
# The grid
# --------
# The vectors of the codes, averaged over channels and time, or over the thirds of the trial for
# each channel; of the first level, or of all six.

pipeline = make_pipeline(
    BioCodecTransformer("biocodec-eeg-small"),
    StandardScaler(),
    LogisticRegression(C=0.01, max_iter=1000),
)
levels = {"first": [0], "all six": [0, 1, 2, 3, 4, 5]}
pools = ["mean", "thirds"]
search = GridSearchCV(
    pipeline,
    {"biocodectransformer__pool": pools, "biocodectransformer__levels": list(levels.values())},
    cv=GroupKFold(3),
    scoring="balanced_accuracy",
)
search.fit(epochs, y, groups=people)
print(search.best_params_)

# %%
# What it found
# -------------

results = search.cv_results_
mean, spread = (
    results[key].reshape(len(levels), len(pools), order="C")
    for key in ("mean_test_score", "std_test_score")
)
fig, ax = plt.subplots(figsize=(5.6, 3.0), layout="constrained")
image = ax.imshow(mean, vmin=0.4, vmax=0.8, cmap="cividis", aspect="auto")
for row, column in np.ndindex(mean.shape):
    ax.text(
        column,
        row,
        f"{mean[row, column]:.2f} ± {spread[row, column]:.2f}",
        ha="center",
        va="center",
        color="white" if mean[row, column] < 0.62 else "black",
    )
ax.set_xticks(range(len(pools)), [f'pool="{pool}"' for pool in pools])
ax.set_yticks(range(len(levels)), [f"{name} level{'s' * (name != 'first')}" for name in levels])
ax.tick_params(length=0)
fig.colorbar(image, ax=ax, label="balanced accuracy, 3 folds of people")

# %%
# What the choice is worth
# ------------------------
# The best of four scores is too good, because it was chosen for being the best. So the search is
# repeated on two thirds of the people, and scored on the last third. Band power is scored on the
# same people.

outer = []
for train, test in GroupKFold(3).split(epochs, y, people):
    search.fit(epochs[train], y[train], groups=people[train])
    outer.append(balanced_accuracy_score(y[test], search.predict(epochs[test])))
power = benchmarks.band_power(epochs).reshape(len(epochs), -1)
power = cross_val_score(
    pipeline[1:], power, y, groups=people, cv=GroupKFold(3), scoring="balanced_accuracy"
)
print(f"best of the grid  {mean.max():.2f}")
print(f"chosen and scored {np.mean(outer):.2f} ± {np.std(outer):.2f}")
print(f"band power        {power.mean():.2f} ± {power.std():.2f}")

# %%
# The figure shows that cells differ by no more than their folds do: six simulated people are too
# few to choose by. In this simulation the conditions differ in power, which a codec that scales
# every trial has least reason to keep, so that band power does as well.
