"""
From a recording to tokens, features and back
=============================================

A dozen lines turn a recording into tokens, into features for a classifier, and the tokens back into
a signal. The model comes with the package, and channels, rate and unit are found in the recording.
"""

# %%
# A recording
# -----------
# It is simulated, unless ``real`` names one of yours, in any format that MNE reads. ``preprocess``
# applies the filters that the model was trained with.

# License: BSD-3-Clause
# sphinx_gallery_thumbnail_number = 2

import mne

from mne_neurorvq import NeuroRVQTransformer, datasets, preprocess, viz

real = None  # or a file with EEG, such as "subject.edf"

if real is None:
    (raw,) = datasets.simulate_recordings(1, 6, verbose=False)
else:
    raw = mne.io.read_raw(real, verbose=False)
raw.crop(tmax=min(60.0, raw.times[-1])).load_data(verbose=False)
epochs = mne.make_fixed_length_epochs(preprocess(raw), 4.0, preload=True, verbose=False)

# %%
# Tokens
# ------
# ``fit`` loads the model and matches the channels; nothing is learned. Here the model is given the
# signals in the reference that they were recorded in, so that they can be compared with what comes
# back.

model = NeuroRVQTransformer("neurorvq-eeg-small", reference="recorded").fit(epochs)
model.channel_report_

# %%

tokens = model.tokenize(epochs)
tokens

# %%
# Each second of a channel has become 32 codes: four codebooks, which see different time scales,
# with eight levels each.

viz.plot_tokens(tokens, trial=1, levels=[0, 1])

# %%
# And back
# --------
# The tokens alone decode to a signal in volts.

viz.plot_reconstruction(epochs, model.detokenize(tokens))

# %%
# Features
# --------
# For a classifier there are features: those of each channel and third of a trial, or numbers with
# names, in standard deviations of the recording.

print("embedding:", model.transform(epochs).shape)
numbers = NeuroRVQTransformer("neurorvq-eeg-small", output="physiology").fit(epochs)
print("physiology:", numbers.transform(epochs).shape)
print(", ".join(numbers.get_feature_names_out()[:6]), "...")

# %%
# The figures show what the codes keep of one trial. They do not show that the features are of use:
# for that, compare them with band power on people whom the classifier has not seen, as in
# :ref:`sphx_glr_auto_examples_predict_plot_cross_subject_pipeline.py`.
