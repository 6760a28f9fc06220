"""
Which of the three systems keeps what
=====================================

NeuroRVQ, BrainRVQ and BioCodec spend 130 to more than 1,000 bits on a second of a channel, and keep
different parts of it. All three have the same methods, so that a loop compares them.
"""

# %%
# One recording, three models
# ---------------------------
# Each is given the recording with the filters that it was trained with, and in the reference it was
# recorded in.

# License: BSD-3-Clause
# sphinx_gallery_thumbnail_number = 2

import warnings

import matplotlib.pyplot as plt
import mne
import numpy as np

from mne_neurorvq import (
    BioCodecTransformer,
    BrainRVQTransformer,
    NeuroRVQTransformer,
    analysis,
    datasets,
    preprocess,
    viz,
)

real = None  # or a file with EEG at 200 Hz or more, such as "subject.edf"

if real is None:
    (raw,) = datasets.simulate_recordings(1, 2, sfreq=250.0, verbose=False)
    raw.pick("F3 F4 C3 C4 P3 P4 O1 O2".split())
    # Nothing is simulated below 0.5 Hz, where BrainRVQ misses something.
    warnings.filterwarnings("ignore", message="The Epochs were filtered")
else:
    raw = mne.io.read_raw(real, preload=True, verbose=False).pick("eeg")
raw.crop(tmax=min(16.0, raw.times[-1]))

models = {
    "NeuroRVQ": NeuroRVQTransformer("neurorvq-eeg-small", reference="recorded"),
    "BrainRVQ": BrainRVQTransformer("brainrvq-eeg-small", reference="recorded"),
    "BioCodec": BioCodecTransformer("biocodec-eeg-small", reference="recorded"),
}
trials, tokens, curves = {}, {}, {}
for name, model in models.items():
    filtered = preprocess(raw, model.pretrained)
    trials[name] = mne.make_fixed_length_epochs(filtered, 4.0, preload=True, verbose=False)
    tokens[name] = model.fit(trials[name]).tokenize(trials[name])
    curves[name] = analysis.rate_distortion(model, tokens[name], trials[name])
    codes = np.prod(tokens[name].shape[2:]) / 4.0
    bits = tokens[name].bits_per_second
    print(f"{name}: {codes:5.0f} codes of {tokens[name].n_codes} and {bits:5.0f} bits a second")

# %%
# Bits and error
# --------------
# Each point adds a level.

viz.plot_rate_distortion(curves)

# %%
# Which frequencies come back
# ---------------------------
# Filters differ, so the errors above are of somewhat different signals. Within a band they are of
# the same ones.

fig, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
bands = list(analysis.BANDS)
for shift, (name, curve), colour in zip(
    (-0.1, 0.0, 0.1), curves.items(), ("#0072B2", "#D55E00", "#009E73"), strict=True
):
    errors = [100 * curve.quality[-1].summary()[f"nmse_{band}"] for band in bands]
    ax.plot(np.arange(len(bands)) + shift, errors, "o", color=colour, label=name)
labels = [f"{band}\n{low:g}-{high:g} Hz" for band, (low, high) in analysis.BANDS.items()]
ax.set_xticks(range(len(bands)), labels)
ax.set(ylabel="error (% of the power in the band)", yscale="log", ylim=(None, 200))
ax.set_xlim(-0.5, len(bands) - 0.5)
ax.axhline(100, color="0.5", ls="--", lw=1)
ax.text(-0.4, 105, "what a flat line has", fontsize=8, color="0.3")
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))

# %%
# Two seconds of a channel
# ------------------------

channel = tokens["NeuroRVQ"].ch_names[len(tokens["NeuroRVQ"].ch_names) // 2]
fig, axes = plt.subplots(3, 1, figsize=(9, 5), sharex=True, sharey=True, layout="constrained")
for ax, (name, model) in zip(axes, models.items(), strict=True):
    decoded = model.detokenize(tokens[name][:1])
    for one, colour, width in ((trials[name], "0.35", 1.6), (decoded, "#D55E00", 0.9)):
        signal = 1e6 * one.get_data(item=[0], picks=[channel])[0, 0]
        ax.plot(one.times, signal, color=colour, lw=width)
    ax.set(title=name, ylabel=f"{channel} (µV)", xlim=(1, 3))
    ax.spines[["top", "right"]].set_visible(False)
axes[-1].set_xlabel("time (s)")
fig.legend(
    axes[0].get_lines(), ["recorded", "decoded"], loc="outside upper center", ncols=2, frameon=False
)

# %%
# More bits restore more, and BrainRVQ's 130 bits cannot hold fast activity: no code of that size
# can, as :doc:`/analysis` works out. Whose *features* are of more use is another question, which
# reconstructions do not answer: see :doc:`/feature_study`.
