"""
Clean trials before they become tokens
======================================

One loose electrode changes the codes of all channels if it is in the average reference. What is six
times as large as the others is left out of it by itself; the rest is for you to repair: by
`autoreject <https://autoreject.github.io>`_ where it is installed (``python -m pip install
autoreject``, which is no extra of this package), and otherwise by a limit and MNE's interpolation.
"""

# %%
# Trials with a loose electrode
# -----------------------------
# In a third of the simulated trials one channel is something else, and five times as large.

# License: BSD-3-Clause

import matplotlib.pyplot as plt
import mne
import numpy as np

from mne_neurorvq import NeuroRVQTransformer, datasets, preprocess

try:
    from autoreject import AutoReject
except ImportError:
    AutoReject = None

real = None  # or a file with EEG, such as "subject.edf"

if real is None:
    clean = datasets.simulate_epochs(n_subjects=1, n_trials=12, conditions=("rest",), verbose=False)
    rng = np.random.default_rng(0)
    data, loose = clean.get_data(), np.arange(0, len(clean), 3)
    for trial, channel in zip(loose, rng.permutation(len(clean.ch_names)), strict=False):
        data[trial, channel] = 5 * data[trial - 1, channel]
    epochs = mne.EpochsArray(data, clean.info, verbose=False)
else:
    raw = mne.io.read_raw(real, preload=True, verbose=False).pick("eeg")
    mne.datasets.eegbci.standardize(raw)  # names as in MNE's montages, whose positions are needed
    raw.set_montage("colin27_1005", match_case=False, on_missing="ignore")
    raw = preprocess(raw.crop(tmax=min(120.0, raw.times[-1])))
    epochs = mne.make_fixed_length_epochs(raw, 4.0, preload=True, verbose=False)

# %%
# Repair
# ------
# autoreject learns a limit for each channel, interpolates what exceeds it in a trial, and drops
# trials with too much of it. Without it, channels are interpolated that are far larger in a trial
# than the channels usually are.


def repair(epochs):
    """Repaired trials, and their indices."""
    if AutoReject is not None:
        cleaner = AutoReject(n_interpolate=[1, 2, 4], random_state=0, verbose=False)
        repaired, log = cleaner.fit_transform(epochs, return_log=True)
        return repaired, np.flatnonzero(~log.bad_epochs)
    size = np.ptp(epochs.get_data(), axis=-1)
    loud = size > 3 * np.median(size)
    data = epochs.get_data()
    for trial in np.flatnonzero(loud.any(axis=1)):
        one = epochs[trial]
        one.info["bads"] = np.array(one.ch_names)[loud[trial]].tolist()
        data[trial] = one.interpolate_bads(verbose=False).get_data()
    return mne.EpochsArray(data, epochs.info, verbose=False), np.arange(len(epochs))


repaired, kept = repair(epochs)
print(
    "repaired by",
    "limits of our own: autoreject is not installed" if AutoReject is None else "autoreject",
)
print(f"{len(kept)} of {len(epochs)} trials kept")

# %%
# What it does to the codes
# -------------------------
# In the simulation it is known what the codes would have been. With the average reference, the
# model's default, this loose electrode is in every channel; ``reference="recorded"`` keeps it to
# itself, at the price of the features.

if real is None:
    shares = {}
    for reference in ("average", "recorded"):
        model = NeuroRVQTransformer("neurorvq-eeg-small", reference=reference).fit(clean)
        wanted = model.tokenize(clean[kept]).codes[..., 0]
        for name, trials in (("as they are", epochs[kept]), ("repaired", repaired)):
            equal = model.tokenize(trials).codes[..., 0] == wanted
            shares[f"{reference}, {name}"] = 100 * equal.mean(axis=(1, 2, 3))
    broken = np.isin(kept, loose)
    fig, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
    for row, values in enumerate(shares.values()):
        for which, colour, label, shift in (
            (~broken, "#0072B2", "trials without a fault", -0.1),
            (broken, "#D55E00", "trials with a loose electrode", 0.1),
        ):
            ax.plot(
                values[which],
                np.full(which.sum(), row + shift),
                "o",
                ms=5,
                color=colour,
                label=label,
            )
    ax.set_yticks(range(len(shares)), list(shares))
    ax.invert_yaxis()
    ax.set(
        xlabel="first-level codes that are what they would be without the fault (%)", xlim=(0, 103)
    )
    ax.spines[["top", "right"]].set_visible(False)
    fig.legend(
        *(part[:2] for part in ax.get_legend_handles_labels()),
        loc="outside upper center",
        ncols=2,
        frameon=False,
    )
else:
    model = NeuroRVQTransformer("neurorvq-eeg-small").fit(epochs)
    equal = model.tokenize(epochs[kept]).codes[..., 0] == model.tokenize(repaired).codes[..., 0]
    changed = 100 * (1 - equal.mean(axis=(1, 2, 3)))
    fig, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
    ax.stem(kept, changed)
    ax.set(xlabel="trial", ylabel="first-level codes changed (%)")

# %%
# The figure shows how many codes one electrode changes, and how many a repair brings back: hardly
# those of the channel itself, which is interpolated, but many of the others. It does not show what
# a score gains, which depends on how often electrodes are loose in your data.
