"""
What the tokens of a trial keep, level by level
===============================================

A trial becomes *tokens*: for each second of each channel, the indices of four codebooks (temporal
scales) at eight levels. The tokens alone decode to a signal in volts, and the first levels alone to
a coarser one; this page measures both.
"""

# %%
# Trials
# ------
# :func:`~mne_neurorvq.datasets.simulate_epochs` makes trials with an alpha rhythm, a 1/f
# background, blinks and sensor noise. ``real`` takes a recording of yours.

# License: BSD-3-Clause
# sphinx_gallery_thumbnail_number = 3

import mne

from mne_neurorvq import NeuroRVQTransformer, Tokens, analysis, datasets, preprocess, viz

real = None  # or a file with EEG, such as "subject.edf"

if real is None:
    epochs = datasets.simulate_epochs(n_subjects=1, n_trials=6, verbose=False)
else:
    raw = mne.io.read_raw(real, preload=True, verbose=False).pick("eeg")
    raw = preprocess(raw.crop(tmax=min(60.0, raw.times[-1])))
    epochs = mne.make_fixed_length_epochs(raw, 4.0, preload=True, verbose=False)

# %%
# To tokens
# ---------
# Features of this model are better with an average reference, its default, but tokens hold none.
# Here they are to decode to signals as they were recorded.

model = NeuroRVQTransformer("neurorvq-eeg-small", reference="recorded").fit(epochs)
tokens = model.tokenize(epochs)
print(tokens)

viz.plot_tokens(tokens, trial=0, levels=0)

# %%
# Each panel is a codebook, and each cell the code of a second of a channel at the first of eight
# levels. There are 1,024 codes, so that few of the 76 cells share one, and these are often
# neighbours.
#
# And back
# --------
# Decoding needs the tokens and the model, not the trials. The figure takes the trial with the
# median error, not the best one.

restored = model.detokenize(tokens)
viz.plot_reconstruction(epochs, restored)

# %%
# Level by level
# --------------
# The first levels hold the strong, slow part of the signals. The dashed line is what the best code
# of single channels could reach for Gaussian signals with the same spectra and the same bits.

curve = analysis.rate_distortion(model, tokens, epochs)
bound = [analysis.gaussian_bound(epochs, bits)["nmse"] for bits in curve.bits_per_second]
viz.plot_rate_distortion({"neurorvq-eeg-small": curve, "bound": (curve.bits_per_second, bound)})

# %%
# Where the error is
# ------------------

quality = curve.quality[-1]
viz.plot_error_topomap(quality, restored.info)
for name, value in quality.summary().items():
    print(f"{name:>12} {value:.3f}")

# %%
# ``r`` is Pearson's correlation, ``gain`` the ratio of standard deviations (1 is perfect) and
# ``nmse`` the squared error over the variance.
#
# Save the tokens
# ---------------
# Files hold each code at its true width of ten bits.

import tempfile
from pathlib import Path

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "subject-tokens.h5"
    tokens.save(path)
    as_doubles = epochs.get_data().nbytes
    print(f"{path.stat().st_size / 1024:.0f} KiB, {as_doubles / 1024:.0f} KiB as double precision")
    assert Tokens.load(path) == tokens

# %%
# The figures show which part of these simulated signals is lost, and that it is the fast one; real
# signals have more in it. :doc:`/analysis` has the figures measured on people.
