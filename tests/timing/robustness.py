# License: BSD-3-Clause
"""What gain, noise and the choice of scaling do to a codec: tables of doc/biocodec.rst.

    python tests/timing/robustness.py [MODEL] [--json FILE] [--subjects 1-16] [--never 13-16]

Trials as in systems.py. Gain: share of unchanged codes if the trials of people whom the model has
not seen are louder or softer than those of ``fit``. Noise: error of their reconstruction, over the
variance, in total and below 45 Hz (median), if noise or a slow deflection of a quarter of a second
is added to the input of the codec. Scaling: the linear probe of features.py of ``scaling="trial"``
and of ``scaling="fit"``, fitted on each person's own trials, with the log of the scales that the
first one removes."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from features import parse, scores, trials
from machine import facts, report
from numpy.typing import NDArray

from mne_neurorvq import BioCodecTransformer
from mne_neurorvq.analysis import Gain, code_stability, reconstruction_quality
from mne_neurorvq.datasets import trial_column

_GAINS = (1.01, 1.1, 1.2, 0.8, 2.0)
# Trials of which codes are compared and reconstructions judged.
_N_TRIALS = 48


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
    parser.add_argument("model", nargs="?", default="biocodec-eeg-small", metavar="MODEL")
    args = parse(parser, never="13-16")
    machine = facts(args.threads)
    epochs = trials(args.subjects, args.model)
    epochs.load_data()
    conditions, subjects = (trial_column(epochs, name) for name in ("condition", "subject"))
    new = np.flatnonzero(np.isin(subjects, args.never))
    few = epochs[new[np.linspace(0, len(new) - 1, _N_TRIALS).astype(int)]]
    gains, noises = gain_rows(args.model, few), noise_rows(args.model, few)
    scalings = scaling_rows(args.model, epochs, conditions, subjects, args.never)
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
