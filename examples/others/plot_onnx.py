"""
A tokenizer that runs without this package
==========================================

``torch.export`` turns a tokenizer into a graph that needs neither this package nor its code, and
ONNX Runtime runs the graph where there is no Python. This page exports the encoder, and counts how
many codes differ.
"""

# %%
# What the model takes
# --------------------
# Windows in its unit and at its rate: an exported graph does not adapt signals, as the estimators
# do.

# License: BSD-3-Clause

import time
from importlib.util import find_spec

import matplotlib.pyplot as plt
import mne
import numpy as np
import torch

from mne_neurorvq import datasets, load_pretrained, preprocess

real = None  # or a file with EEG, such as "subject.edf"

channels = ["C3", "Cz", "C4", "Pz"]
if real is None:
    epochs = datasets.simulate_epochs(n_subjects=1, n_trials=8, verbose=False).pick(channels)
else:
    raw = mne.io.read_raw(real, preload=True, verbose=False)
    mne.datasets.eegbci.standardize(raw)
    raw = preprocess(raw.crop(tmax=min(60.0, raw.times[-1])).pick(channels))
    epochs = mne.make_fixed_length_epochs(raw, 4.0, preload=True, verbose=False).resample(200.0)
tokenizer = load_pretrained("neurorvq-eeg-small").tokenizer
config = tokenizer.config
print(f"{len(config.channels)} channels by name, in {config.signal_unit}, at {config.sfreq:g} Hz")

x = torch.tensor(epochs.reorder_channels(channels).get_data(units="uV"), dtype=torch.float32)
rows = torch.tensor([config.channels.index(name.lower()) for name in channels])

# %%
# To a graph
# ----------


class Encoder(torch.nn.Module):
    """The half of a tokenizer that makes codes."""

    def __init__(self, tokenizer):
        super().__init__()
        self.tokenizer = tokenizer

    def forward(self, x, channel_ids):
        """Codes and side information of windows."""
        return self.tokenizer.encode(x, channel_ids)


shapes = {"x": {0: torch.export.Dim("windows", min=1, max=64)}, "channel_ids": None}
program = torch.export.export(Encoder(tokenizer), (x[:2], rows), dynamic_shapes=shapes)
print(f"{len(program.graph.nodes)} operations")

# %%
# To ONNX Runtime
# ---------------
# Where the extra ``onnx`` is installed, the graph becomes a file and runs there.

runs = {"this package": lambda x: tokenizer.encode(x, rows)[0].numpy()}
graph = program.module()
runs["torch.export"] = lambda x: graph(x, rows)[0].numpy()
if all(find_spec(name) for name in ("onnx", "onnxruntime", "onnxscript")):
    import logging
    import tempfile
    from pathlib import Path

    import onnxruntime

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # what it does without torchvision

    path = Path(tempfile.mkdtemp()) / "encoder.onnx"
    torch.onnx.export(program, (), path, external_data=False, verbose=False)
    print(f"{path.name}: {path.stat().st_size / 2**20:.1f} MiB")
    session = onnxruntime.InferenceSession(path)
    runs["ONNX Runtime"] = lambda x: session.run(
        None, {"x": x.numpy(), "channel_ids": rows.numpy()}
    )[0]
else:
    print("ONNX Runtime is not installed here: python -m pip install onnx onnxruntime onnxscript")

# %%
# The same codes
# --------------

with torch.inference_mode():
    codes = {name: run(x) for name, run in runs.items()}
fig, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained", width_ratios=[2, 1])
wanted = codes["this package"]
levels = np.arange(1, wanted.shape[-1] + 1)
shown = zip(list(codes.items())[1:], ("#D55E00", "#009E73"), (5, 1.5), strict=False)
for (name, values), colour, width in shown:
    equal = 100 * (values == wanted).mean(axis=(0, 1, 2, 3))
    print(f"{name}: {equal.mean():.2f} % of {wanted.size} codes are the same")
    axes[0].plot(levels, equal, "o-", color=colour, lw=width, label=name)
axes[0].set(xlabel="level", ylabel="codes that are the same (%)", ylim=(90, 100.5), xticks=levels)
axes[0].legend(frameon=False, loc="lower left")


def milliseconds(run, repeats=5):
    """Least time of several runs."""
    times = []
    with torch.inference_mode():
        for _ in range(repeats):
            start = time.perf_counter()
            run(x)
            times.append(time.perf_counter() - start)
    return 1e3 * min(times) / len(x)


times = [milliseconds(run) for run in runs.values()]
axes[1].barh(list(runs), times, color=["0.6", "#D55E00", "#009E73"][: len(runs)], height=0.5)
axes[1].set(xlabel="ms for a window of four channels")
axes[1].invert_yaxis()
for ax in axes:
    ax.spines[["top", "right"]].set_visible(False)

# %%
# Where two codes are equally near, rounding decides, so that a few of the last levels may differ:
# they carry the least. The times are those of the machine that built this page. :doc:`/libraries`
# says what a graph leaves out, such as the check of its inputs.
