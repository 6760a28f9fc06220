"""
Stages of a night, found without labels
=======================================

Clustering the features of successive windows gives a hypnogram that nobody has scored. The night
here is simulated, so that the clusters can be compared with what is known, and with clusters of
plain band power.
"""

# %%
# A night of twenty minutes
# -------------------------
# Four kinds of windows of 15 s: awake with an alpha rhythm, light sleep with spindles, deep sleep
# with slow waves, and dreaming with weak theta activity. The background is that of
# :func:`~mne_neurorvq.datasets.simulate_recordings`.

# License: BSD-3-Clause

import matplotlib.pyplot as plt
import mne
import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mne_neurorvq import NeuroRVQTransformer, benchmarks, datasets, preprocess

real = None  # or a file with EEG of a night, such as "night.edf"

SECONDS, STAGES = 15, ["awake", "dreaming", "light", "deep"]
CHANNELS = "F3 F4 C3 C4 O1 O2".split()


def simulate_night():
    """Return a recording in V and the stage of each window."""
    rng = np.random.default_rng(0)
    blocks = [0, 2, 3, 2, 1, 2, 3, 2, 1, 0, 2, 1]
    stages = np.repeat(blocks, rng.integers(5, 10, len(blocks)))
    duration = SECONDS * len(stages) / 2 + 1
    (raw,) = datasets.simulate_recordings(1, 2, trial_duration=duration, sfreq=100.0, verbose=False)
    raw.annotations.delete(range(len(raw.annotations)))
    raw.pick(CHANNELS).crop(tmax=SECONDS * len(stages), include_tmax=False)
    sfreq, n_times = raw.info["sfreq"], len(raw.times)
    stage = np.repeat(stages, round(SECONDS * sfreq))
    back, front = np.array([0.2, 0.2, 0.5, 0.5, 1, 1]), np.array([1, 1, 0.8, 0.8, 0.3, 0.3])

    def rhythm(low, high):
        noise = rng.standard_normal(n_times)
        filtered = mne.filter.filter_data(noise, sfreq, low, high, verbose=False)
        return filtered / filtered.std()

    bursts = np.convolve(rng.random(n_times) < 0.2 / sfreq, np.hanning(round(sfreq)), "same")
    parts = [
        (stage == 0, 14e-6, back, rhythm(9, 11)),
        (stage == 1, 4e-6, front, rhythm(4, 7)),
        (stage == 2, 20e-6 * bursts, front, rhythm(12, 15)),
        (stage == 3, 45e-6, front, rhythm(0.5, 2)),
    ]
    size = np.array([0.7, 0.5, 0.9, 1.2])[stage]

    def add(data):
        slow = mne.filter.filter_data(data, sfreq, None, 7.0, verbose=False)  # without rhythms
        data = size * slow + 1e-6 * rng.standard_normal(data.shape)
        for when, volts, where, course in parts:
            data += np.outer(where, when * volts * course)
        return data

    return raw.apply_function(add, channel_wise=False, verbose=False), stages


if real is None:
    raw, stages = simulate_night()
else:
    raw, stages = mne.io.read_raw(real, preload=True, verbose=False).pick("eeg"), None
raw = preprocess(raw)
epochs = mne.make_fixed_length_epochs(raw, SECONDS, preload=True, verbose=False)
hours = SECONDS / 60 * np.arange(len(epochs))

# %%
# Clusters
# --------
# K-means on the physiological numbers of each window, averaged over its time: 48 for each channel.
# How many clusters there are is for you to say.

model = NeuroRVQTransformer(
    "neurorvq-eeg-small", output="physiology", pool="time", reference="recorded"
)
features = {
    "tokens' model": model.fit_transform(epochs),
    "band power": benchmarks.band_power(epochs).reshape(len(epochs), -1),
}
steps = StandardScaler(), PCA(5, random_state=0), KMeans(4, n_init=10, random_state=0)
clusters = {name: make_pipeline(*steps).fit_predict(X) for name, X in features.items()}

# %%
# The hypnogram
# -------------
# Clusters have no names. Each is drawn at the stage that most of its windows have, and for a
# recording of yours in order of size.


def named(labels):
    """Order of the clusters on the axis."""
    if stages is None:
        return np.argsort(np.argsort(-np.bincount(labels, minlength=4)))[labels]
    return np.array([np.bincount(stages[labels == k]).argmax() for k in range(4)])[labels]


rows = {} if stages is None else {"simulated": stages}
rows |= {name: named(labels) for name, labels in clusters.items()}
fig, axes = plt.subplots(
    len(rows), 1, figsize=(9, 1.7 * len(rows)), sharex=True, layout="constrained"
)
for ax, (name, values) in zip(axes, rows.items(), strict=True):
    ax.step(hours, -values, where="post", color="0.3" if name == "simulated" else "#0072B2")
    ax.set_yticks([0, -1, -2, -3], STAGES if stages is not None else "ABCD")
    ax.set_title(name, loc="left", fontsize=10)
    ax.spines[["top", "right"]].set_visible(False)
axes[-1].set_xlabel("time (min)")
for name, labels in clusters.items():
    if stages is not None:
        print(f"{name:>14}: adjusted Rand index {adjusted_rand_score(stages, labels):.2f}")

# %%
# The windows in two dimensions
# -----------------------------

points = make_pipeline(StandardScaler(), PCA(2)).fit_transform(features["tokens' model"])
colours = clusters["tokens' model"] if stages is None else stages
fig, ax = plt.subplots(figsize=(5.5, 4.2), layout="constrained")
for k, colour in enumerate(("#E69F00", "#CC79A7", "#56B4E9", "#0072B2")):
    label = STAGES[k] if stages is not None else "ABCD"[k]
    ax.plot(*points[colours == k].T, ".", color=colour, label=label)
ax.set(xlabel="first principal component", ylabel="second principal component")
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)

# %%
# Four simulated stages that differ in their rhythms are easy, for the model and for band power
# alike. A real night has stages that pass into each other, and people who differ more than stages
# do: score some of it by eye before you trust a cluster.
