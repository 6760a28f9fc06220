"""
Pulse waves: heart rate, and tokens by an untrained model
=========================================================

The pulse wave of a finger (PPG) goes the way of all signals: the model picks it by its name,
filters it and resamples it. **No trained model of pulses is in the package**, as no recordings of
enough people were at hand: shown are the heart rate of the filtered wave, and how many tokens there
are.
"""

# %%
# A pulse
# -------
# :func:`~mne_neurorvq.datasets.simulate_recordings` marks each beat with an annotation ``"beat"``.
# ``real`` takes a record of BIDMC, whose ECG beside the pulse says when the heart beats.

# License: BSD-3-Clause

import matplotlib.pyplot as plt
import mne
import numpy as np
from mne.preprocessing.ecg import qrs_detector
from scipy.signal import find_peaks

from mne_neurorvq import NeuroRVQTransformer, datasets, preprocess

real = None  # or a table, such as "bidmc_01_Signals.csv"

if real is None:
    (raw,) = datasets.simulate_recordings(1, 4, modality="ppg", trial_duration=8.0, verbose=False)
    beats = raw.annotations.onset[raw.annotations.description == "beat"]
else:
    raw = datasets.read_bidmc(real)
    lead = raw.get_data(picks=["II"])[0]
    beats = qrs_detector(raw.info["sfreq"], lead, verbose=False) / raw.info["sfreq"]
name = "neurorvq-ppg-tiny-random"  # untrained; "neurorvq-ppg" are the authors' weights
raw = preprocess(raw, name)
print(raw.info["sfreq"], "Hz,", raw.ch_names)

# %%
# Heart rate
# ----------
# The filtered wave is all that is needed: each pulse has a maximum, some time after the beat.

sfreq, pulse = raw.info["sfreq"], raw.get_data(picks=["PLETH"])[0]
peaks, _ = find_peaks(pulse, distance=0.4 * sfreq, prominence=pulse.std())
found = peaks / sfreq

fig, axes = plt.subplots(2, figsize=(8, 4.6), layout="constrained")
shown = raw.times < 10
axes[0].plot(raw.times[shown], pulse[shown], color="0.35", lw=1.5)
axes[0].plot(found[found < 10], pulse[peaks[found < 10]], "o", color="#D55E00")
for beat in beats[beats < 10]:
    axes[0].axvline(beat, color="#0072B2", lw=1, ls=":")
axes[0].set(xlabel="time (s)", ylabel="pulse (normalised)")
axes[1].plot(beats[1:], 60 / np.diff(beats), ":", color="#0072B2", label="beats of the heart")
axes[1].plot(found[1:], 60 / np.diff(found), "o", color="#D55E00", label="maxima of the pulse")
axes[1].set(xlabel="time (s)", ylabel="heart rate (beats/min)")
for ax in axes:
    ax.spines[["top", "right"]].set_visible(False)
fig.legend(*axes[1].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)

inside = beats[(beats > found[0] - 0.5) & (beats < found[-1])]
rates = [60 / np.mean(np.diff(times)) for times in (inside, found)]
print(f"{rates[0]:.1f} beats/min by the heart, {rates[1]:.1f} by the pulse")

# %%
# Tokens
# ------
# A patch is 0.8 s, about a beat; twelve of them are a segment. These codes come from random
# weights, and mean nothing; the authors' `neurorvq-ppg` takes their place by its name.

epochs = mne.make_fixed_length_epochs(raw, 9.6, preload=True, verbose=False)
if real is not None:
    epochs.pick(["PLETH"])
model = NeuroRVQTransformer(name, output="tokens").fit(epochs)
model.tokenize(epochs)

# %%
# The figure shows that the heart rate is in the simulated wave, whose maxima are clean; the wave of
# somebody who moves is not. It says nothing of a model: :doc:`/modalities` has what was measured.
