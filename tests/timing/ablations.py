# License: BSD-3-Clause
"""What each part of BrainRVQ contributes: the same data, steps and seeds, with one setting changed.

    python tests/timing/ablations.py CORPUS RUNS [--steps 1500 1500] [--seeds 0]
        [--json FILE] [--subjects 1-16] [--never 9-12]

``mne-neurorvq pretrain`` trains every variant in a folder of RUNS, and resumes if it was killed.
Reconstruction, codes and predictions are those of the held-out people of the corpus; "phase" is the
mean cosine of the difference between predicted and true phase, 1-4, 5-8, 9-13 and 14-30 Hz, which
does not depend on the representation of phase. The linear probe is that of features.py
(MNE_DATASETS_EEGBCI_PATH names the folder).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from features import parse, scores, trials
from machine import facts, report

from mne_neurorvq import BrainRVQTransformer, load_pretrained
from mne_neurorvq.datasets import trial_column
from mne_neurorvq.models import analyse_dual
from mne_neurorvq.training import CorpusDataset
from mne_neurorvq.training.batches import watched_batches

# By name: what differs in the tokenizer, and what differs in the foundation model.
_VARIANTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "as it is": ((), ()),
    "time only": (("model.domains=time",), ()),
    "frequency only": (("model.domains=frequency",), ()),
    "phase as an angle": (("model.phase=angle",), ()),
    "parallel heads": ((), ("model.token_heads=parallel",)),
    "random mask": ((), ("masking.guided=false",)),
}

_BANDS = ((1, 4), (5, 8), (9, 13), (14, 30))


def train(corpus: str, runs: Path, name: str, steps: list[int], seed: int) -> dict[str, Path]:
    """Train both stages of a variant; stages that variants share are trained once."""
    changes, more = _VARIANTS[name]
    folders = {
        "tokenizer": runs / "_".join(["tokenizer", *changes, f"seed={seed}"]),
        "foundation": runs / "_".join(["foundation", *changes, *more, f"seed={seed}"]),
    }
    for stage, n_steps in zip(folders, steps, strict=True):
        own = (*changes, *more) if stage == "foundation" else changes
        if not (folders[stage] / "model" / "measures.json").exists():
            command = [sys.executable, "-m", "mne_neurorvq", "pretrain", stage]
            command += ["--system", "brainrvq", "--corpus", corpus, "-o", str(folders[stage])]
            command += ["--set", *own, f"{stage}.n_steps={n_steps}", f"seed={seed}"]
            if stage == "foundation":
                command += ["--tokenizer", str(folders["tokenizer"] / "model")]
            subprocess.run(command, check=True)
    return {stage: folder / "model" for stage, folder in folders.items()}


@torch.inference_mode()
def phase_agreement(model: str, corpus: str) -> dict[str, float]:
    """Mean cosine of the error of the phase, by frequency."""
    tokenizer = load_pretrained(model, only="tokenizer").tokenizer
    config, found = tokenizer.config, []
    if "frequency" not in config.domains:
        return {}
    for _, batch in watched_batches(CorpusDataset(corpus, "validation"), config):
        patches = batch.windows.unflatten(-1, (-1, config.patch_size))
        side = analyse_dual(patches, config).side
        quantized = tokenizer.assess(batch.windows, batch.channel_ids)[2]
        phase = tokenizer.from_vectors(quantized.vectors, side, batch.channel_ids).phase
        true = torch.fft.fft(patches).angle()
        if config.phase == "circular":
            angle = torch.atan2(phase[..., 1], phase[..., 0])
        else:  # standardised over the window, which a decoder would not know
            deviation, mean = torch.std_mean(true, dim=(1, 2, 3), keepdim=True)
            angle = phase * deviation + mean
        found.append((angle - true).cos().mean(dim=(0, 1, 2)))
    cosine = torch.stack(found).mean(0)
    hertz = config.sfreq / config.patch_size * torch.arange(config.patch_size)
    return {
        f"phase, {low}-{high} Hz": float(cosine[(hertz >= low) & (hertz <= high)].mean())
        for low, high in _BANDS
    }


def measure(
    models: dict[str, Path], corpus: str, people: list[int], never: list[str]
) -> dict[str, Any]:
    """Figures of a variant, from the card of its training and from the probe."""
    found = {
        stage: json.loads((path / "measures.json").read_text()) for stage, path in models.items()
    }
    losses, last = found["tokenizer"]["losses"], found["foundation"]
    quality = found["tokenizer"]["subjects"].values()
    epochs = trials(people, str(models["foundation"]))
    columns = (trial_column(epochs, column) for column in ("condition", "subject"))
    model = BrainRVQTransformer(str(models["foundation"]), pool="time", verbose=False).fit(epochs)
    guessed, commonest = np.array(last["fed_back_accuracy"]), np.array(last["commonest_code"])
    return {
        **{key: float(np.mean([one[key] for one in quality])) for key in ("r", "nmse")},
        **{key: losses.get(key, np.nan) for key in ("waveform", "amplitude", "phase")},
        **phase_agreement(str(models["tokenizer"]), corpus),
        "entropy, least": float(np.min(last["entropy"])),
        **{
            f"guessed {domain} {level}": f"{guessed[i, level]:.3f} ({commonest[i, level]:.3f})"
            for i, domain in enumerate(last["codebooks"])
            for level in range(guessed.shape[1])
        },
        **scores(model.transform(epochs), *columns, never),
    }


def main() -> None:
    """Train, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus")
    parser.add_argument("runs", type=Path)
    parser.add_argument("--steps", type=int, nargs=2, default=(1500, 1500))
    parser.add_argument("--seeds", type=int, nargs="+", default=(0,))
    parser.add_argument("--variants", nargs="+", choices=list(_VARIANTS), default=list(_VARIANTS))
    args = parse(parser)
    found = {}
    for name in args.variants:
        for seed in args.seeds:
            models = train(args.corpus, args.runs, name, list(args.steps), seed)
            found[f"{name}, seed {seed}"] = measure(models, args.corpus, args.subjects, args.never)
    rows = list(dict.fromkeys(key for one in found.values() for key in one))
    table = [[key, *(_cell(one.get(key, np.nan)) for one in found.values())] for key in rows]
    report({"machine": facts(args.threads), "variants": found}, [["", *found], *table], args.json)


def _cell(value: Any) -> str:
    if isinstance(value, tuple):
        return f"{value[0]:.3f} ± {value[1]:.3f}"
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.3f}"
    return str(value)


if __name__ == "__main__":
    main()
