# License: BSD-3-Clause
"""Fitted estimators as a folder of safetensors and JSON, without a pickle."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .._warnings import warn
from ..finetuning import make_trained_net
from ..signals import ChannelMatch, Segmentation
from ..weights import CheckpointError
from ..weights.reading import read_state
from ..weights.saving import write_state
from ..weights.systems import SYSTEMS

if TYPE_CHECKING:
    from .trained import TrainedEstimator

RECORD = "estimator.json"
# Digits of the weights' hash that their file is named by.
_SHOWN = 16
FORMAT = 1
# What a file cannot hold, and only a further fit would use.
_UNSAVED = ("callbacks", "random_state")


def save_estimator(estimator: TrainedEstimator, path: str | PathLike[str]) -> Path:
    """Write a fitted estimator as a folder.

    Parameters
    ----------
    estimator : TrainedEstimator
        Fitted estimator.
    path : str | path-like
        Folder, made if absent; an estimator in it is replaced.

    Returns
    -------
    Path
        The folder.

    Warns
    -----
    UserWarning
        If a parameter that only matters for a further fit cannot be written.

    Raises
    ------
    TypeError
        If another parameter, or a label, cannot be written as JSON.
    """
    model, facts = estimator._saved()
    record = {
        "format": FORMAT,
        "written_by": f"mne_neurorvq {version('mne_neurorvq')}",
        "class": type(estimator).__name__,
        "parameters": _plain_parameters(estimator),
        "learned": estimator._learned(),
        **facts,
        "config": estimator.config_.to_dict(),
        "segmentation": asdict(estimator.segmentation_),
        "channel_report": [asdict(match) for match in estimator.channel_report_],
        "fitted_names": list(estimator._fitted_names),
        "n_features_in": estimator.n_features_in_,
        "feature_names_in": getattr(estimator, "feature_names_in_", np.array([])).tolist(),
        "history": estimator.history_,
        "n_trainable_parameters": estimator.n_trainable_parameters_,
    }
    plain = json.loads(json.dumps(record, default=_plain))  # raises before a file is written
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    # The record comes last and takes its place in one step: an interruption or a full disk leaves
    # the earlier estimator as it was.
    new_weights, new_record = folder / "model.new", folder / f"{RECORD}.new"
    write_state(new_weights, model)
    plain["weights_sha256"] = _digest(new_weights)
    weights = new_weights.replace(_weights_file(folder, plain["weights_sha256"]))
    new_record.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    new_record.replace(folder / RECORD)
    for file in folder.glob(f"model-{'[0-9a-f]' * _SHOWN}.safetensors"):
        if file != weights:
            file.unlink()
    return folder


def restore(estimator: TrainedEstimator, record: dict[str, Any], folder: Path) -> None:
    """Make an estimator what it was when it was saved.

    Parameters
    ----------
    estimator : TrainedEstimator
        Estimator with the parameters of the record, changed in place.
    record : dict
        What :func:`save_estimator` wrote.
    folder : Path
        Where it wrote the weights.

    Raises
    ------
    CheckpointError
        If the weights are broken or not those of the record.
    """
    segmentation = record["segmentation"] | {"segments": tuple(record["segmentation"]["segments"])}
    estimator.segmentation_ = Segmentation(**segmentation)
    estimator.channel_report_ = tuple(ChannelMatch(**match) for match in record["channel_report"])
    estimator.ch_names_ = tuple(match.name for match in estimator.channel_report_ if match.used)
    estimator.config_ = SYSTEMS[estimator._system].config.from_dict(record["config"])
    estimator._fitted_names = tuple(record["fitted_names"])
    estimator._told = frozenset()  # what is wrong with signals is said anew
    estimator.n_features_in_ = record["n_features_in"]
    if record["feature_names_in"]:
        estimator.feature_names_in_ = np.array(record["feature_names_in"], dtype=object)
    estimator.n_trainable_parameters_ = record["n_trainable_parameters"]
    estimator.history_ = record["history"]
    estimator._recall(record["learned"])
    weights = _check_weights(folder, record["weights_sha256"])
    with torch.random.fork_rng(devices=[]):
        model = estimator._restored(record, partial(read_state, weights))
    estimator.net_ = make_trained_net(
        model.eval(), estimator._loss(), estimator.history_, classify=estimator._classify
    )


def _check_weights(folder: Path, digest: str) -> Path:
    """Find the weights that belong to a record."""
    file = _weights_file(folder, digest)
    if not file.exists():
        raise FileNotFoundError(f"{file} is missing: an estimator is a whole folder, copy it anew.")
    if _digest(file) != digest:
        raise CheckpointError(
            f"{file} is damaged, or not the file that belongs to {RECORD}: copy the folder anew."
        )
    return file


def _weights_file(folder: Path, digest: str) -> Path:
    # Named by its content: the weights of a record stay until another record is in its place.
    return folder / f"model-{digest[:_SHOWN]}.safetensors"


def _digest(file: Path) -> str:
    return sha256(file.read_bytes()).hexdigest()


def _plain_parameters(estimator: TrainedEstimator) -> dict[str, Any]:
    parameters = estimator.get_params(deep=False)
    for name in _UNSAVED:
        try:
            json.dumps(parameters[name], default=_plain)
        except TypeError:
            warn(f"{name}={parameters[name]!r} is not saved: give it again before a further fit.")
            parameters[name] = None
    if isinstance(parameters.get("class_weight"), dict):
        # JSON would turn labels into strings.
        parameters["class_weight"] = list(parameters["class_weight"].items())
    return parameters


def _plain(value: Any) -> Any:
    """Turn what is not JSON but plain data into JSON."""
    if hasattr(value, "tolist"):  # NumPy, pandas, torch
        return value.tolist()
    if isinstance(value, (set, frozenset)):
        return list(value)
    if isinstance(value, PathLike):
        return str(value)
    raise TypeError(f"{value!r} cannot be saved: only plain values can.")
