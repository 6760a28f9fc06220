"""
Heartbeats from the tokens of an ECG
====================================

A record of twelve leads becomes tokens and comes back with every beat where it was. What works for
EEG works for the heart: the model takes the leads by their names, whatever else is in the
recording.
"""

# %%
# A record
# --------
# :func:`~mne_neurorvq.datasets.simulate_recordings` marks each R peak with an annotation
# ``"beat"``. ``real`` takes a record in PhysioNet's format, of which
# :func:`~mne_neurorvq.datasets.read_wfdb` knows the unit (extra ``ecg``).

# License: BSD-3-Clause
# sphinx_gallery_thumbnail_number = 2

import matplotlib.pyplot as plt
import mne
import numpy as np
from mne.preprocessing.ecg import qrs_detector

from mne_neurorvq import NeuroRVQTransformer, analysis, datasets, preprocess, viz

real = None  # or a header, such as "records500/00000/00001_hr.hea" of PTB-XL

if real is None:
    (raw,) = datasets.simulate_recordings(1, 4, modality="ecg", trial_duration=8.0, verbose=False)
else:
    raw = datasets.read_wfdb(real)
raw = preprocess(raw, "neurorvq-ecg-small")
epochs = mne.make_fixed_length_epochs(raw, 10.0, preload=True, verbose=False)

# %%
# Through the codes
# -----------------

model = NeuroRVQTransformer("neurorvq-ecg-small").fit(epochs)
tokens = model.tokenize(epochs)
restored = model.detokenize(tokens)
viz.plot_reconstruction(
    epochs, restored, channels=list(tokens.ch_names[:2]) + list(tokens.ch_names[-2:])
)

# %%
# The shape comes back, in volts. The amplitude of simulated beats is too small: they are taller and
# narrower, and what is between them flatter, than in the records that the model was trained on.

quality = analysis.reconstruction_quality(epochs, restored, bands={}).summary()
bits = analysis.compression(tokens)
print(f"r = {quality['r']:.3f}, amplitude = {quality['gain']:.2f} of what it was")
print(f"{bits.total:.0f} bits per second and lead, of {bits.float32:.0f} as float32")

# %%
# Beats
# -----
# MNE's detector of R peaks runs on the lead before and after the codes.

sfreq, lead = epochs.info["sfreq"], tokens.ch_names[min(1, len(tokens.ch_names) - 1)]
before, after = (
    qrs_detector(sfreq, np.concatenate(e.get_data(picks=[lead])[:, 0]), verbose=False) / sfreq
    for e in (epochs, restored)
)
moved = 1e3 * np.abs(np.subtract.outer(before, after)).min(axis=1)
print(f"{len(before)} beats before the codes, {len(after)} after them")
print(f"95 % of them moved by {np.quantile(moved, 0.95):.0f} ms or less")

fig, ax = plt.subplots(figsize=(8, 3.2), layout="constrained")
ax.plot(before[1:], 60 / np.diff(before), color="0.35", lw=2, label="recorded")
ax.plot(
    after[1:], 60 / np.diff(after), color="#D55E00", lw=1, marker=".", label="through the codes"
)
if real is None:
    known = raw.annotations.onset[raw.annotations.description == "beat"]
    known = known[known < 10.0 * len(epochs)]
    ax.plot(known[1:], 60 / np.diff(known), "+", color="#0072B2", label="simulated")
ax.set(xlabel="time (s)", ylabel="heart rate (beats/min)")
ax.spines[["top", "right"]].set_visible(False)
fig.legend(loc="outside upper center", ncols=3, frameon=False)

# %%
# The heart beats faster while it exercises, and the tokens say so. Where the two lines part, the
# detector has missed a beat of the recorded lead, and found it after the codes. That beats are kept
# does not make this a diagnostic model: its features tell classes of PTB-XL apart no better than
# those of an untrained twin, see :doc:`/ecg`.
