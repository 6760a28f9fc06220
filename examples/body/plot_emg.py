"""
When and how strongly muscles work, from tokens
===============================================

The tokens of an EMG give back when each muscle works, and how strongly, although they are 20 times
smaller. Their features are compared with the root mean square of each muscle, the plainest feature
there is, on people whom the classifier has not seen.
"""

# %%
# Four muscles
# ------------
# Of a thigh that rests, and extends or flexes the knee. ``real`` takes the data set "EMG in Lower
# Limb", in which people walk, extend the knee while seated, and flex it while standing.

# License: BSD-3-Clause
# sphinx_gallery_thumbnail_number = 2

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mne_neurorvq import (
    GroupStandardScaler,
    NeuroRVQTransformer,
    analysis,
    datasets,
    preprocess,
    viz,
)

real = None  # or a folder with N1.npz, A1.npz, ...

if real is None:
    recordings = datasets.simulate_recordings(5, 6, modality="emg", verbose=False)
    window = (0.0, 2.0)  # s after the start of what is done
else:
    recordings = datasets.load_emg_lower_limb(real)
    window = (4.0, 6.0)
recordings = [preprocess(raw, "neurorvq-emg-small") for raw in recordings]
epochs = datasets.epochs_from_recordings(
    recordings, window[0], window[1] - 1e-3, picks="emg", verbose=False
)
what = datasets.trial_column(epochs, "condition")
people = datasets.trial_column(epochs, "subject")
print(f"{len(epochs)} trials of {len(np.unique(people))} people: {', '.join(np.unique(what))}")

# %%
# Through the codes
# -----------------

model = NeuroRVQTransformer("neurorvq-emg-small").fit(epochs)
tokens = model.tokenize(epochs)
restored = model.detokenize(tokens)
bits = analysis.compression(tokens)
print(f"{bits.total:.0f} bits per second and muscle, of {bits.float32:.0f} as float32")
viz.plot_reconstruction(epochs, restored, trial=1)

# %%
# The waveform of a muscle is noise, of which only the slower part comes back. How strongly it works
# comes back whole:

strength = [1e6 * e.get_data().std(axis=-1) for e in (epochs, restored)]
fig, axes = plt.subplots(1, len(epochs.ch_names), figsize=(9, 2.9), layout="constrained")
for ax, name, *both in zip(axes, epochs.ch_names, *(s.T for s in strength), strict=True):
    top = 1.1 * max(both[0].max(), both[1].max())
    ax.plot([0, top], [0, top], color="0.7", lw=1)
    for label, colour in zip(np.unique(what), ("#0072B2", "#D55E00", "#009E73"), strict=True):
        ax.plot(both[0][what == label], both[1][what == label], ".", color=colour, label=label)
    ax.set(title=name, xlabel="recorded (µV)", aspect="equal", xlim=(0, top), ylim=(0, top))
    ax.title.set_size(10)
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("through the codes (µV)")
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)

quality = analysis.reconstruction_quality(epochs, restored, bands={}).summary()
together = [np.corrcoef(*both)[0, 1] for both in zip(*(s.T for s in strength), strict=True)]
print(f"r of the waveform {quality['r']:.2f}, of the strength {min(together):.3f} or more")

# %%
# What are they doing?
# --------------------

classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
features = {
    "root mean square": np.log(strength[0]),
    "physiology": NeuroRVQTransformer("neurorvq-emg-small", output="physiology").fit_transform(
        epochs
    ),
    "embedding": model.transform(epochs),
}
for name, X in features.items():
    X = GroupStandardScaler().fit_transform(X, groups=people)
    scores = cross_val_score(
        classifier, X, what, groups=people, cv=GroupKFold(5), scoring="balanced_accuracy"
    )
    print(f"{name:>18}: balanced accuracy {scores.mean():.2f}, {X.shape[1]} columns")

# %%
# Simulated movements are easy, and four numbers by hand are enough. The figure shows that codes
# keep the strength, not that a model is needed for it: measured figures of walking, sitting and
# standing people are in :doc:`/emg`.
