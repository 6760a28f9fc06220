"""
What codes stand for: places, waveforms, spectra
================================================

A code is a number without a meaning of its own. This page looks at where on the head the most
frequent codes occur, at the signals that they stand for, and at which codes come and go with a
rhythm of the brain.
"""

# %%
# Tokens of a recording
# ---------------------
# A person who rests, and imagines that a hand moves, which weakens the rhythm over the motor
# cortex. Three minutes of 32 channels are some thousand tokens.

# License: BSD-3-Clause
# sphinx_gallery_thumbnail_number = 2

import matplotlib.pyplot as plt
import mne
import numpy as np

from mne_neurorvq import NeuroRVQTransformer, analysis, datasets, preprocess, viz

real = None  # or an annotated file with EEG, such as "subject.edf"

if real is None:
    (raw,) = datasets.simulate_recordings(1, 20, verbose=False)
else:
    raw = mne.io.read_raw(real, preload=True, verbose=False).pick("eeg")
    mne.datasets.eegbci.standardize(raw)  # names without dots
raw = preprocess(raw.crop(tmax=min(170.0, raw.times[-1])))
epochs = mne.make_fixed_length_epochs(raw, 4.0, preload=True, verbose=False)
model = NeuroRVQTransformer("neurorvq-eeg-small", reference="recorded").fit(epochs)
tokens = model.tokenize(epochs)
usage = analysis.code_usage(tokens)
print(f"{usage.n_tokens} tokens; {usage.used.min():.0%} of the codes or more are used")

# %%
# Where
# -----
# The codes that occur most often at the first level of the codebook with the finest time scale.

BOOK = 3
viz.plot_code_topomap(tokens, epochs.info, codebook=BOOK)

# %%
# What
# ----
# The mean of the recorded signals of all patches with a code, and the middle half of them.

viz.plot_code_waveforms(tokens, epochs, codebook=BOOK)

# %%
# In the simulation the most frequent codes of this codebook are the alpha rhythm, each with a phase
# and a course of its own; in a real recording that was tried they were blinks, over the forehead. A
# code says what the signal does during its second, and not only which rhythm is in it.
#
# Which rhythm
# ------------
# Of the codes that occur at least 15 times, the two whose patches have the least, and the two with
# the most of their power between 8 and 13 Hz.

patches = epochs.get_data(picks=list(tokens.ch_names)).reshape(*tokens.shape[:3], -1)
n_times = patches.shape[-1]
frequencies = np.fft.rfftfreq(n_times, 1 / epochs.info["sfreq"])
power = np.abs(np.fft.rfft(patches * np.hanning(n_times))) ** 2
power = 100 * power / power.sum(axis=-1, keepdims=True)
alpha = power[..., (frequencies >= 8) & (frequencies < 13)].sum(axis=-1)

codes = tokens.codes[..., BOOK, 0]
frequent = np.flatnonzero(np.bincount(codes.ravel()) >= 15)
share = np.array([alpha[codes == code].mean() for code in frequent])
chosen = frequent[np.argsort(share)[[0, 1, -2, -1]]]

fig, ax = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
for code, colour in zip(chosen, ("#56B4E9", "#0072B2", "#E69F00", "#D55E00"), strict=True):
    label = f"code {code}, {np.sum(codes == code)} patches"
    ax.plot(frequencies, power[codes == code].mean(axis=0), color=colour, label=label)
ax.plot(frequencies, power.mean(axis=(0, 1, 2)), color="0.4", ls="--", label="all patches")
ax.set(xlim=(0.5, 44.5), xlabel="frequency (Hz)", ylabel="share of the power (%)")
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)

# %%

viz.plot_code_topomap(tokens, epochs.info, chosen.tolist(), codebook=BOOK)

# %%
# Codes with and without the rhythm occur at different places, those with it where the rhythm is.
# The codes were chosen for the difference, from one simulated person, so its size says little; and
# what a code means beside other codes, or in another person, is not shown.
