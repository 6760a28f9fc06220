# License: BSD-3-Clause
"""What gain, noise and bad channels do to codes and reconstructions.

    python tests/timing/robustness.py MODEL... [--json FILE] [--subjects 51-60] [--folder FIF]
                                               [--reference recorded]
    python tests/timing/robustness.py --codec MODEL [--json FILE] [--subjects 1-16] [--never 1-8]

The first: trials of 4 s and 21 channels of these people (``--folder`` as in features.py). If all
channels are a fifth louder, have noise at 30 or 20 dB, or one of them (CPz) is twenty times as
large, is white noise of twenty times its deviation, is flat, or every other channel is missing:
the share of codes of the other channels that stay the same at the first and the last level, and the
correlation of their reconstruction with the signal as it was. Models are given the reference that
their cards say, unless there is another; the average is that of the 21 channels.

The first gives the tables of doc/analysis.rst, the second those of doc/biocodec.rst, of trials as
in systems.py. Gain: share of unchanged codes if the trials of people whom the model has not seen
are louder or softer than those of ``fit``. Noise: error of their reconstruction, over the
variance, in total and below 45 Hz (median), if noise or a slow deflection of a quarter of a
second is added to the input of the codec. Scaling: the linear probe of features.py of
``scaling="trial"`` and of ``scaling="fit"``, fitted on each person's own trials, with the log of
the scales that the first one removes."""

from __future__ import annotations

import argparse
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np
from features import STRIP, parse, read_folder, scores, trials
from machine import facts, report
from numpy.typing import NDArray

from mne_neurorvq import BioCodecTransformer, preprocess
from mne_neurorvq.analysis import Gain, Noise, code_stability, reconstruction_quality
from mne_neurorvq.datasets import epochs_from_recordings, load_eegbci, trial_column
from mne_neurorvq.weights.loading import find_config
from mne_neurorvq.weights.systems import SYSTEMS

_GAINS = (1.01, 1.1, 1.2, 0.8, 2.0)
# Trials of which codes are compared and reconstructions judged.
_N_TRIALS = 48


_BAD = "CPz"
_COLUMNS = ["model, change", "codes: first level", "last level", "r", "fall of r"]


def change_rows(name: str, epochs: Any, reference: str | None) -> list[list[Any]]:
    """Equal codes and correlations of the channels that a change leaves, by change."""
    make = resolve_name(SYSTEMS[find_config(name).system].transformer)
    settings: dict[str, Any] = {"output": "tokens", "reference": reference, "verbose": False}
    model = make(name, **settings).fit(epochs)
    signals, sfreq = epochs.get_data(), epochs.info["sfreq"]
    bad = epochs.ch_names.index(_BAD)
    others = [i for i in range(len(epochs.ch_names)) if i != bad]
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(signals[:, bad].shape) * signals[:, bad].std(-1, keepdims=True)

    def replaced(values: Any) -> Any:
        changed = signals.copy()
        changed[:, bad] = values
        return _with(epochs, changed)

    changes = {
        "gain 1.2": (_with(epochs, 1.2 * signals), others, 1.2),
        "noise, 30 dB": (_with(epochs, Noise(30.0)(signals, rng)), others, 1.0),
        "noise, 20 dB": (_with(epochs, Noise(20.0)(signals, rng)), others, 1.0),
        "one channel x 20": (replaced(20 * signals[:, bad]), others, 1.0),
        "one channel noise x 20": (replaced(20 * noise), others, 1.0),
        "one channel flat": (replaced(0.0), others, 1.0),
        "half of the channels missing": (epochs.copy().pick(epochs.ch_names[::2]), None, 1.0),
    }
    tokens = model.tokenize(epochs)
    rebuilt = model.reconstruct(epochs).get_data()
    label = Path(name).parent.name if Path(name).name == "model" else Path(name).name

    def r(picks: Any, found: Any) -> float:
        return reconstruction_quality(signals[:, picks], found, sfreq).summary()["r"]

    rows: list[list[Any]] = [[f"{label}, none", 1.0, 1.0, r(others, rebuilt[:, others]), 0.0]]
    for change, (given, left, gain) in changes.items():
        changed = make(name, **settings).fit(given)
        found = changed.tokenize(given)
        again = changed.reconstruct(given).get_data() / gain
        before = list(range(0, len(epochs.ch_names), 2)) if left is None else left
        after = list(range(len(before))) if left is None else left
        equal = (found.codes[:, after] == tokens.codes[:, before]).mean((0, 1, 2, 3))
        own = r(before, again[:, after])
        fall = r(before, rebuilt[:, before]) - own
        rows.append([f"{label}, {change}", float(equal[0]), float(equal[-1]), own, fall])
    return rows


def some_trials(args: argparse.Namespace, name: str) -> Any:
    """Trials of the people, filtered as a model expects, evenly spaced."""
    if args.folder is None:
        raws = load_eegbci(args.subjects, (4, 8, 12), verbose="error")
    else:
        raws = read_folder(args.folder, args.subjects)
    raws = [preprocess(raw, name) for raw in raws]
    last = 4 - 1 / raws[0].info["sfreq"]
    epochs = epochs_from_recordings(raws, 0.0, last, picks=STRIP, verbose="error")
    return epochs[np.linspace(0, len(epochs) - 1, _N_TRIALS).astype(int)].load_data()


def gain_rows(name: str, epochs: Any) -> list[list[Any]]:
    """Share of equal codes by scaling, gain and level."""
    changes = {f"{gain:g}": Gain(gain) for gain in _GAINS}
    rows = []
    for scaling in ("trial", "fit"):
        codec = BioCodecTransformer(name, scaling=scaling, verbose=False).fit(epochs)
        found = code_stability(codec, epochs, changes)
        means = found.mean | {"chance": found.chance}
        rows += [
            [f"{scaling}, {change}", *mean[0].tolist(), float(mean.mean())]
            for change, mean in means.items()
        ]
    return rows


def noise_rows(name: str, epochs: Any) -> list[list[Any]]:
    """Error and correlation of the reconstruction of disturbed trials, by kind and size."""
    epochs = epochs.copy().resample(250.0)  # room for noise that the recordings cannot hold
    codec = BioCodecTransformer(name, verbose=False).fit(epochs)
    clean, sfreq = epochs.get_data(), epochs.info["sfreq"]
    white = np.random.default_rng(0).standard_normal(clean.shape)
    centre, width = clean.shape[-1] / 2, sfreq / 4
    bump = np.exp(-0.5 * ((np.arange(clean.shape[-1]) - centre) / (width / 2)) ** 2)
    high, wide = _band(white, sfreq, 80, 100), _band(white, sfreq, 0.5, 100)
    disturbances = {
        "none": (clean, (0.0,)),
        "80-100 Hz": (high / high.std(), (0.05, 0.125, 0.5)),
        "white": (wide / wide.std(), (0.05, 0.125, 0.5, 1.0)),
        "deflection": (np.broadcast_to(bump, clean.shape), (5.0, 20.0, 50.0)),
    }
    rows = []
    for kind, (added, sizes) in disturbances.items():
        for size in sizes:  # in standard deviations of each channel
            given = clean + size * clean.std(-1, keepdims=True) * added
            rebuilt = codec.reconstruct(_with(epochs, given)).get_data()
            quality = reconstruction_quality(given, rebuilt, sfreq).summary()
            under = _band(np.stack([given, rebuilt]), sfreq, 0.5, 45.0)
            low_error = ((under[1] - under[0]) ** 2).mean(-1) / under[0].var(-1)
            label = f"{kind}, {size:g}" if size else kind
            rows.append([label, quality["nmse"], float(np.median(low_error)), quality["r"]])
    return rows


def scaling_rows(
    name: str, epochs: Any, conditions: Any, subjects: Any, never: list[str]
) -> list[list[Any]]:
    """Linear probes by scaling; "fit" sees a person's trials, without labels."""
    by_trial = BioCodecTransformer(name, pool="time", verbose=False).fit(epochs)
    values = by_trial.transform(epochs)
    scale = by_trial.tokenize(epochs).side[..., 1]
    log_scale = np.log(scale).reshape(len(values), -1)
    by_person = np.empty_like(values)
    for subject in np.unique(subjects):
        own = np.flatnonzero(subjects == subject)
        codec = BioCodecTransformer(name, pool="time", scaling="fit", verbose=False)
        by_person[own] = codec.fit_transform(epochs[own])
    tables: dict[str, NDArray[np.floating]] = {
        "trial": values,
        "trial, with the log of the scales": np.concatenate([values, log_scale], axis=1),
        "fit, each person": by_person,
        "log of the scales alone": log_scale,
    }
    rows = []
    for label, table in tables.items():
        found = scores(table, conditions, subjects, never)
        rows.append([label, *(f"{mean:.3f} ± {std:.3f}" for mean, std in found.values())])
    return [["scaling", *found], *rows]


def _band(data: NDArray[np.floating], sfreq: float, low: float, high: float) -> Any:
    spectrum = np.fft.rfft(data)
    hertz = np.fft.rfftfreq(data.shape[-1], 1 / sfreq)
    return np.fft.irfft(spectrum * ((hertz >= low) & (hertz <= high)), data.shape[-1])


def _with(epochs: Any, data: NDArray[np.floating]) -> Any:
    changed = epochs.copy()
    changed._data[:] = data
    return changed


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--codec", action="store_true", help="the tables of a BioCodec")
    parser.add_argument("--folder", type=Path, help="recordings as FIF, without --codec")
    parser.add_argument("--reference", help="without --codec; by default the model's own")
    args = parse(parser, never="1-8")
    machine = facts(args.threads)
    if not args.codec:
        rows = [
            row for m in args.models for row in change_rows(m, some_trials(args, m), args.reference)
        ]
        cells = [_COLUMNS, *([row[0], *(f"{v:.3f}" for v in row[1:])] for row in rows)]
        report({"machine": machine, "changes": [_COLUMNS, *rows]}, cells, args.json)
        return
    (name,) = args.models
    epochs = trials(args.subjects, name)
    epochs.load_data()
    conditions, subjects = (trial_column(epochs, name) for name in ("condition", "subject"))
    new = np.flatnonzero(np.isin(subjects, args.never))
    few = epochs[new[np.linspace(0, len(new) - 1, _N_TRIALS).astype(int)]]
    gains, noises = gain_rows(name, few), noise_rows(name, few)
    scalings = scaling_rows(name, epochs, conditions, subjects, args.never)
    levels = [f"level {level}" for level in range(len(gains[0]) - 2)]
    found = {
        "gain": [["scaling, gain", *levels, "all"], *gains],
        "noise": [["disturbance, deviations", "nmse", "below 45 Hz", "r"], *noises],
        "scaling": scalings,
    }
    for rows in found.values():
        cells = [[c if isinstance(c, str) else f"{c:.3f}" for c in row] for row in rows]
        report({"machine": machine, **found}, cells, args.json)


if __name__ == "__main__":
    main()
