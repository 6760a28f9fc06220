"""
Hearts and muscles
==================

What works for EEG works for ECG and EMG: the model picks its channels by their type, and brings
them to its unit and rate. The recordings here are simulated, and their beats are known.
"""

# License: BSD-3-Clause

# %%
# A heart
# -------
# :func:`~mne_neurorvq.datasets.simulate_recordings` marks each R peak with an annotation.

import mne
import numpy as np
from mne.preprocessing.ecg import qrs_detector

from mne_neurorvq import NeuroRVQTransformer, analysis, datasets, preprocess, viz

(raw,) = datasets.simulate_recordings(1, 4, modality="ecg", verbose=False)
epochs = mne.make_fixed_length_epochs(
    preprocess(raw, "neurorvq-ecg-small"), 10.0, preload=True, verbose=False
)
heart = NeuroRVQTransformer("neurorvq-ecg-small").fit(epochs)
restored = heart.reconstruct(epochs)
viz.plot_reconstruction(epochs, restored, channels=["I", "II", "V2", "V5"])

# %%
# The shape comes back, in volts; the amplitude is too small here, as these beats are taller and
# narrower, and what is between them flatter, than in the recordings it was trained on.

quality = analysis.reconstruction_quality(epochs, restored, bands={}).summary()
print(f"r = {quality['r']:.3f}, amplitude = {quality['gain']:.2f}")

# %%
# Beats are where they were:

sfreq, duration = restored.info["sfreq"], 10.0 * len(restored)
lead = np.concatenate(restored.get_data(picks=["II"])[:, 0])
found = qrs_detector(sfreq, lead, verbose=False) / sfreq
known = raw.annotations.onset[raw.annotations.description == "beat"]
known = known[(known > 0.5) & (known < duration - 0.5)]
errors = np.abs(np.subtract.outer(known, found)).min(axis=1)
print(f"{len(known)} beats, at most {1e3 * errors.max():.0f} ms from where they were")
print(f"{60 / np.median(np.diff(found)):.0f} and {60 / np.median(np.diff(known)):.0f} beats/min")

# %%
# Muscles
# -------
# Four thigh muscles at 1000 Hz, which rest and bend or stretch the knee.

(raw,) = datasets.simulate_recordings(1, 4, modality="emg", verbose=False)
epochs = mne.make_fixed_length_epochs(
    preprocess(raw, "neurorvq-emg-small"), 2.0, preload=True, verbose=False
)
muscles = NeuroRVQTransformer("neurorvq-emg-small").fit(epochs)
restored = muscles.reconstruct(epochs)
viz.plot_reconstruction(epochs, restored, trial=3)

# %%
# A simulated muscle is noise, of which the waveform comes back in part. When and how strongly each
# muscle works comes back in full:

work = [np.abs(one.get_data()).mean(axis=-1) for one in (epochs, restored)]
quality = analysis.reconstruction_quality(epochs, restored, bands={}).summary()
print(f"r of the signals: {quality['r']:.2f}")
for name, *both in zip(epochs.ch_names, *(one.T for one in work), strict=True):
    print(f"{name}: r of how strongly it works in 2 s: {np.corrcoef(*both)[0, 1]:.3f}")
