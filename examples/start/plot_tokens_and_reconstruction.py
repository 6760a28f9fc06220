"""
Tokens of a trial, and its reconstruction
=========================================

A trial goes in as :class:`mne.Epochs` and becomes *tokens*: for each second of each channel, the
indices of four codebooks (temporal scales) at eight levels. The tokens alone decode to a signal
in volts. The recordings here are simulated.
"""

# License: BSD-3-Clause

# %%
# Simulate a person
# -----------------
# :func:`~mne_neurorvq.datasets.simulate_epochs` makes trials with an alpha rhythm, a 1/f background
# and sensor noise. Your own Epochs work as well.

from mne_neurorvq import NeuroRVQTransformer, analysis, datasets, viz

epochs = datasets.simulate_epochs(n_subjects=1, n_trials=6, verbose=False)
print(epochs)

# %%
# From trials to tokens
# ---------------------
# ``fit`` loads the pretrained model and matches the channels; nothing is learned here.

# Features of this model are better with an average reference, its default, which cannot be undone.
# Here the signals are to come back as they were recorded.
transformer = NeuroRVQTransformer("neurorvq-eeg-small", reference="recorded").fit(epochs)
tokens = transformer.tokenize(epochs)
print(tokens)
print(f"{tokens.bits_per_second:.0f} bits per second and channel")

# %%
# The codes of one trial over time and channels, for each codebook and the first levels. Codes are
# names: equal colours in a panel are equal codes.

viz.plot_tokens(tokens, trial=0)

# %%
# And back
# --------
# Decoding needs the tokens and the model, not the trials. The channels, rate, times and events are
# those of the trials.

restored = transformer.detokenize(tokens)
viz.plot_reconstruction(epochs, restored, trial=0, channels=["Fz", "C3", "Pz", "O1"])

# %%
# How good is it? ``r`` is Pearson's correlation, ``gain`` the ratio of standard deviations.

quality = analysis.reconstruction_quality(epochs, restored)
for name, value in quality.summary().items():
    print(f"{name:>12} {value:.3f}")

# %%
# Fewer levels, coarser signal
# ----------------------------
# The first levels hold the coarse part of the signal. They can be decoded on their own.

for n_levels in (1, 2, 4, 8):
    coarse = transformer.detokenize(tokens, levels=n_levels)
    r = analysis.reconstruction_quality(epochs, coarse).summary()["r"]
    print(f"{n_levels} levels: r = {r:.3f}")

# %%
# Save the tokens
# ---------------
# Files hold each code at its true width of ten bits.

import tempfile
from pathlib import Path

from mne_neurorvq import Tokens

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "subject-tokens.h5"
    tokens.save(path)
    as_doubles = epochs.get_data().nbytes
    print(f"{path.stat().st_size / 1024:.0f} KiB, {as_doubles / 1024:.0f} KiB as double precision")
    assert Tokens.load(path) == tokens
