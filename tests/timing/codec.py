# License: BSD-3-Clause
"""BioCodec's encoder: trials through the estimator against one channel after the other.

    python tests/timing/codec.py [--json FILE] [--threads 2] [--repeats 7]

The case is the published EEG codec (weights drawn from a seed) on 4 trials of 64 channels and 5 s
at 250 Hz. Three methods take turns in one process, in alternating order after a warm-up, and
medians are compared: ``channel by channel``, a call for each series; ``BioCodec.encode``, 64
series a call; ``BioCodecTransformer.tokenize``, with scaling and all that belongs to tokens. All
must give the same codes, but for ties that rounding decides.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from machine import add_clock, facts, median_seconds, report
from torch import Tensor

from mne_neurorvq import BioCodecTransformer, load_pretrained
from mne_neurorvq.models import BIOCODEC_EEG, BioCodec
from mne_neurorvq.signals import robust_scale
from mne_neurorvq.weights import save_pretrained

_SEED, _SHAPE, _SERIES = 0, (4, 64, 1250), 64


def _channel_by_channel(model: BioCodec, x: Tensor) -> Tensor:
    series = [model.encode(one[None, None])[0] for one in x.flatten(0, 1)]
    return torch.cat(series).unflatten(0, x.shape[:2])[:, :, 0]


def _together(model: BioCodec, x: Tensor) -> Tensor:
    parts = [model.encode(part[None])[0][0] for part in x.flatten(0, 1).split(_SERIES)]
    return torch.cat(parts).unflatten(0, x.shape[:2])


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7, help="timed rounds")
    add_clock(parser)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    machine = facts(args.threads)
    torch.manual_seed(_SEED)
    model = BioCodec(config=BIOCODEC_EEG).eval()
    model.quantizer.codebook.copy_(
        torch.nn.functional.normalize(torch.randn_like(model.quantizer.codebook), dim=-1)
    )
    model.quantizer.started.fill_(True)
    noise = 10 * np.random.default_rng(_SEED).standard_normal(_SHAPE).cumsum(-1)
    x = torch.from_numpy(robust_scale(noise)[0].astype(np.float32))
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        save_pretrained(folder, model)
        names = [f"E{i}" for i in range(_SHAPE[1])]
        estimator = BioCodecTransformer(
            folder, ch_names=names, sfreq=250.0, memory=None, verbose=False
        )
        estimator.fit(noise)
        # On the disk weights are rounded.
        model = load_pretrained(folder).require("tokenizer", "biocodec")
        codes: dict[str, Tensor] = {}
        methods = {
            "channel by channel": lambda: _channel_by_channel(model, x),
            "BioCodec.encode": lambda: _together(model, x),
            "BioCodecTransformer.tokenize": lambda: torch.from_numpy(
                estimator.tokenize(noise).codes.astype(np.int64)
            ),
        }

        def call(name: str) -> None:
            codes[name] = methods[name]()

        calls = {name: (lambda name=name: call(name)) for name in methods}
        seconds = median_seconds(calls, args.repeats, 2, args.clock)
    first = codes["channel by channel"]
    equal = {name: float((found == first).double().mean()) for name, found in codes.items()}
    plain = seconds["channel by channel"]
    rows = [["method", "s", "speed x", "equal codes"]]
    rows += [[n, f"{s:.2f}", f"{plain / s:.2f}", f"{equal[n]:.4%}"] for n, s in seconds.items()]
    report({"machine": machine, "seconds": seconds, "equal_codes": equal}, rows, args.json)


if __name__ == "__main__":
    main()
