"""
A recording in a tenth of its size, read by another process
===========================================================

Tokens are small files that hold all that decoding needs. This page writes those of a whole
recording, decodes them in another process, which has never seen the recording, and joins the
pieces.
"""

# %%
# A recording
# -----------

# License: BSD-3-Clause

import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import mne
import numpy as np

from mne_neurorvq import NeuroRVQTransformer, datasets, preprocess

real = None  # or a file with EEG, such as "subject.edf"

if real is None:
    (raw,) = datasets.simulate_recordings(1, 8, verbose=False)
else:
    raw = mne.io.read_raw(real, preload=True, verbose=False).pick("eeg")
raw = preprocess(raw.crop(tmax=min(120.0, raw.times[-1])))
epochs = mne.make_fixed_length_epochs(raw, 4.0, preload=True, verbose=False)

# %%
# Written here
# ------------
# As tokens, and for comparison as MNE's files of 32 and of 16 bits a sample.

folder = Path(tempfile.mkdtemp())
model = NeuroRVQTransformer("neurorvq-eeg-small", reference="recorded").fit(epochs)
model.tokenize(epochs).save(folder / "recording-tokens.h5")

raw = raw.pick(list(model.ch_names_)).crop(tmax=4.0 * len(epochs) - 1 / raw.info["sfreq"])
raw.save(folder / "single_raw.fif", fmt="single", verbose=False)
raw.save(folder / "short_raw.fif", fmt="short", verbose=False)
for file in ("single_raw.fif", "short_raw.fif", "recording-tokens.h5"):
    print(f"{file:>20} {(folder / file).stat().st_size / 1024:6.0f} KiB")

# %%
# Read there
# ----------
# The other process has the file and the package, and nothing else.

program = """
import sys
from mne_neurorvq import NeuroRVQTransformer, Tokens

tokens = Tokens.load(sys.argv[1])
restored = NeuroRVQTransformer(tokens.model).detokenize(tokens)
restored.save(sys.argv[2], fmt="double", verbose=False)
"""
files = [folder / "recording-tokens.h5", folder / "restored-epo.fif"]
subprocess.run([sys.executable, "-c", program, *files], check=True, capture_output=True)
restored = mne.read_epochs(files[1], verbose=False)
print(
    "the same as decoded here:",
    np.array_equal(restored.get_data(), model.reconstruct(epochs).get_data()),
)

# %%
# One piece again
# ---------------
# The pieces of four seconds are coded on their own, and are put side by side.

joined = mne.io.RawArray(np.concatenate(restored.get_data(), axis=1), restored.info, verbose=False)
shown = joined.ch_names[:: max(1, len(joined.ch_names) // 4)][:4]
fig, axes = plt.subplots(4, 1, figsize=(9, 5.5), sharex=True, layout="constrained")
for ax, name in zip(axes, shown, strict=False):
    for one, colour, width in ((raw, "0.6", 2.4), (joined, "#D55E00", 0.9)):
        signal, times = one.get_data(picks=[name], tmin=6.0, tmax=14.0, return_times=True)
        ax.plot(times, 1e6 * signal[0], color=colour, lw=width)
    for seam in (8.0, 12.0):
        ax.axvline(seam, color="#0072B2", ls=":", lw=1)
    ax.set_ylabel(f"{name} (µV)")
    ax.margins(x=0)
    ax.spines[["top", "right"]].set_visible(False)
axes[-1].set_xlabel("time (s)")
lines = [*axes[0].get_lines()[:2], axes[0].get_lines()[2]]
fig.legend(
    lines, ["recorded", "decoded", "seam"], loc="outside upper center", ncols=3, frameon=False
)

# %%
# The lines lie on each other, and nothing happens at the seams. This is no archive: codes lose what
# the filters and the model leave out, above all fast activity, so keep the recordings.
