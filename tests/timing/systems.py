# License: BSD-3-Clause
"""The systems side by side on the same recordings: bits, reconstruction, linear probe, speed.

    python tests/timing/systems.py [MODEL ...] [--json FILE] [--subjects 1-16] [--never 9-12]

Default: the pretrained models in the package and their untrained twins. Trials of 4 s of PhysioNet
motor imagery (runs 4, 8 and 12; MNE_DATASETS_EEGBCI_PATH names the folder), 21 channels of the
sensorimotor strip, filtered as each model expects. Rates and errors are those of the people that no
model has seen; errors are relative to the filtered signal, in all and within bands. The
linear probe is that of features.py, on embeddings averaged over patches and standardised within
subjects. Speed is seconds of signal of one channel encoded in a second, the median of three calls
over 24 trials.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from features import parse, scores, trials
from machine import facts, median_seconds, report

from mne_neurorvq import (
    BioCodecTransformer,
    BrainRVQTransformer,
    NeuroRVQTransformer,
    list_pretrained,
    load_pretrained,
)
from mne_neurorvq.analysis import code_usage, compression, reconstruction_quality
from mne_neurorvq.datasets import trial_column

_TRANSFORMERS = {
    "neurorvq": NeuroRVQTransformer,
    "biocodec": BioCodecTransformer,
    "brainrvq": BrainRVQTransformer,
}
# Tiny models serve tests and documentation; they show no result.
_MODELS = tuple(
    entry.name
    for entry in list_pretrained()
    if entry.bundled and entry.modality == "eeg" and "-tiny-" not in entry.name
)
_TIMED_TRIALS = 24


def measure(name: str, people: list[int], never: list[str]) -> dict[str, Any]:
    """Figures of one model."""
    epochs = trials(people, name)
    subjects = trial_column(epochs, "subject")
    conditions = trial_column(epochs, "condition")
    loaded = load_pretrained(name)
    model = _TRANSFORMERS[loaded.config.system](name, pool="time", memory=None, verbose=False)
    new = epochs[np.isin(subjects, never)]
    tokens = model.fit(epochs).tokenize(new)
    quality = reconstruction_quality(
        new.get_data(), model.detokenize(tokens).get_data(), new.info["sfreq"]
    ).summary()
    bits, usage = compression(tokens), code_usage(tokens)
    few = new[:_TIMED_TRIALS]
    seconds = median_seconds({name: lambda: model.tokenize(few)}, 3, 1)[name]
    signal = len(few) * len(few.ch_names) * len(few.times) / few.info["sfreq"]
    parts = [getattr(loaded, kind) for kind in loaded.kinds]
    return {
        "model": name,
        "parameters": sum(p.numel() for part in parts for p in part.parameters()),
        "bits/s": bits.total,
        "used": float(usage.used.min()),
        **{key: quality[key] for key in ("r", "si_sdr", "gain", "nmse")},
        **{key: value for key, value in quality.items() if key.startswith("nmse_")},
        "columns": model.transform(epochs[:1]).shape[1],
        **scores(model.transform(epochs), conditions, subjects, never),
        "channel seconds/s": signal / seconds,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=_MODELS, metavar="MODEL")
    args = parse(parser)
    machine = facts(args.threads)
    found = [measure(name, args.subjects, args.never) for name in args.models]
    rows = [[key, *(_cell(one[key]) for one in found)] for key in found[0]]
    report({"machine": machine, "models": found}, rows, args.json)


def _cell(value: Any) -> str:
    if isinstance(value, tuple):
        return f"{value[0]:.3f} ± {value[1]:.3f}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
