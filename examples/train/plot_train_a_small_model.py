"""
Train a tokenizer on your own recordings
========================================

Folders of recordings become a corpus, and a corpus becomes a model of your own with the same
methods as the published ones. Here a tiny tokenizer learns for some seconds; the same three calls
train one for hours.
"""

# %%
# A corpus
# --------
# :func:`~mne_neurorvq.training.prepare_corpus` reads whatever MNE reads, filters it, cuts it into
# windows, and holds out people for validation. The recordings of the simulation are written to a
# folder first.

# License: BSD-3-Clause
# sphinx_gallery_thumbnail_number = 2

import contextlib
import io
import tempfile
from pathlib import Path

import mne

from mne_neurorvq import NeuroRVQTransformer, analysis, datasets, preprocess, viz
from mne_neurorvq.training import CorpusDataset, prepare_corpus, pretrain_tokenizer, read_config
from mne_neurorvq.weights import save_pretrained

real = None  # or a folder of recordings, a folder for each person

work = Path(tempfile.mkdtemp())
if real is None:
    for raw in datasets.simulate_recordings(5, 6, verbose=False):
        person = raw.info["subject_info"]["his_id"]
        (work / "recordings" / person).mkdir(parents=True)
        raw.save(work / "recordings" / person / "eeg_raw.fif", verbose=False)
summary = prepare_corpus([real or work / "recordings"], work / "corpus", window=8)
sides = [CorpusDataset(work / "corpus", side) for side in ("train", "validation")]
for side, corpus in zip(("training", "validation"), sides, strict=True):
    print(f"{side}: {len(corpus)} windows")

# %%
# Training
# --------
# :func:`~mne_neurorvq.training.read_config` has the settings of the small models in this package;
# ``changes`` are for these seconds: one layer, small batches, few steps. An interrupted run goes on
# where it was.

config = read_config(
    changes=[
        "model.depth=1",
        "model.quantizer.n_codes=128",
        "model.quantizer.warmup_steps=10",
        "crops.tokens_per_batch=192",
        "crops.n_channels=[8]",
        "crops.n_patches=[4]",
        "tokenizer.n_steps=60",
        "tokenizer.lr=2e-3",
        "tokenizer.matrix_lr=4e-3",
        "tokenizer.lr_warmup_steps=10",
        "tokenizer.validate_every=10",
    ]
)
with contextlib.redirect_stdout(io.StringIO()):  # its progress bar is for terminals
    tokenizer = pretrain_tokenizer(*sides, config, work / "run")

# %%
# What it has learned
# -------------------
# The curves are those of training and of the people held out.

viz.plot_learning_curve(work / "run")

# %%
# A model like any other
# ----------------------
# Its folder takes the place of a name. It has codes only: features take a second stage,
# :func:`~mne_neurorvq.training.pretrain_foundation`. The trial is of a person held out.

save_pretrained(work / "model", tokenizer)
held_out = summary["subjects"]["validation"][0].rpartition("/")[-1]
files = Path(real or work / "recordings").rglob("*.*")
path = next(file for file in files if held_out in str(file))
raw = mne.io.read_raw(path, preload=True, verbose=False).pick("eeg")
raw = preprocess(raw.crop(tmax=min(40.0, raw.times[-1])))
epochs = mne.make_fixed_length_epochs(raw, 4.0, preload=True, verbose=False)

for name in (work / "model", "neurorvq-eeg-small"):
    model = NeuroRVQTransformer(str(name), output="tokens", reference="recorded").fit(epochs)
    restored = model.reconstruct(epochs)
    r = analysis.reconstruction_quality(epochs, restored).summary()["r"]
    print(f"{Path(name).name:>18}: r = {r:.2f} on a person whom it has not seen")
    if name == work / "model":
        viz.plot_reconstruction(epochs, restored)

# %%
# After 60 steps the slow part of the signal is there, and little else. The model in the package
# took 7,500 steps of 512 patches on 40 real people; :doc:`/pretraining` has the commands, and what
# was tried.
