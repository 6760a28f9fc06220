# License: BSD-3-Clause
"""Fitted estimators as a folder of safetensors and JSON, without a pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .._sealed import seal
from .._warnings import warn
from .._writing import json_text, saving, sha256_of
from ..signals import ChannelMatch, ChannelReport, Segmentation
from ..signals.splines import Splines
from ..weights.blueprint import check_parts
from ..weights.manifest import OutdatedError
from ..weights.reading import check_fit, fill
from ..weights.saving import state_bytes
from ..weights.systems import SYSTEMS
from ..weights.tensors import read_tensors, shapes_of

if TYPE_CHECKING:
    from .base import SignalEstimator

RECORD = "estimator.json"
# Digits of the weights' hash that their file is named by.
_SHOWN = 16
FORMAT = 1
# What a file may be unable to hold, and what takes its place: only a further fit, or the time that
# outputs take, depends on it.
_UNSAVED = {"callbacks": None, "random_state": None, "memory": "auto"}


def save_estimator(estimator: SignalEstimator, path: str | PathLike[str]) -> Path:
    """Write a fitted estimator as a folder.

    Parameters
    ----------
    estimator : SignalEstimator
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
        If a parameter that changes no output cannot be written.

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
        "splines": None if estimator._splines is None else estimator._splines.to_dict(),
        "fitted_names": list(estimator._fitted_names),
        "fitted_types": estimator._fitted_types,
        "n_features_in": estimator.n_features_in_,
        "feature_names_in": getattr(estimator, "feature_names_in_", np.array([])).tolist(),
    }
    plain = json.loads(json.dumps(record, default=_plain))  # raises before a file is written
    content = state_bytes(model)
    plain["weights_sha256"] = sha256(content).hexdigest()
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    with saving(folder, RECORD) as saver:
        saver.clean()
        weights = _weights_file(folder, plain["weights_sha256"])
        # The record comes last and takes its place in one step: an interruption or a full disk
        # leaves the earlier estimator as it was.
        files = {weights: content, folder / RECORD: json_text(seal(plain)).encode("utf-8")}
        if weights.is_file() and sha256_of(weights) == plain["weights_sha256"]:
            del files[weights]  # somebody may be reading it
        try:
            for target, text in files.items():
                saver.write(target, text)
        finally:
            saver.clean()
        for file in folder.glob(f"model-{'[0-9a-f]' * _SHOWN}.safetensors"):
            if file != weights:
                file.unlink()
    return folder


def restore(
    estimator: SignalEstimator, record: dict[str, Any], source: str, tensors: Mapping[str, Tensor]
) -> None:
    """Make an estimator what it was when it was saved.

    Parameters
    ----------
    estimator : SignalEstimator
        Estimator with the parameters of the record, changed in place.
    record : dict
        What :func:`save_estimator` wrote.
    source : str
        File of the weights, for errors.
    tensors : mapping of str to Tensor
        The weights.

    Raises
    ------
    CheckpointError
        If the weights are not those that the record asks for.
    """
    segmentation = record["segmentation"] | {"segments": tuple(record["segmentation"]["segments"])}
    estimator.segmentation_ = Segmentation(**segmentation)
    estimator.channel_report_ = ChannelReport(
        ChannelMatch(**match) for match in record["channel_report"]
    )
    splines = record.get("splines")
    estimator._splines = None if splines is None else Splines.from_dict(splines)
    estimator.ch_names_ = tuple(match.name for match in estimator.channel_report_ if match.used)
    estimator.config_ = SYSTEMS[estimator._system].config.from_dict(record["config"])
    estimator._fitted_names = tuple(record["fitted_names"])
    types = record.get("fitted_types")
    estimator._fitted_types = None if types is None else tuple(types)
    # Whoever loads it is warned anew.
    estimator._told = frozenset()
    estimator._fitted_bands = estimator._fitted_waiting = ()
    estimator.n_features_in_ = record["n_features_in"]
    if record["feature_names_in"]:
        estimator.feature_names_in_ = np.array(record["feature_names_in"], dtype=object)
    estimator._recall(record["learned"])
    # What the record asks for is compared with what is there before memory is taken for it.
    for kind, config in estimator._parts(record).items():
        check_parts(config, shapes_of(tensors), source, quantizer=kind == "tokenizer")
    with torch.random.fork_rng(devices=[]):
        with torch.device("meta"):
            estimator._restored(record, partial(check_fit, tensors=tensors, source=source))
        model = estimator._restored(record, partial(fill, tensors=tensors, source=source))
    estimator._hold(model.eval(), record)


def read_weights(record: dict[str, Any], folder: Path) -> tuple[str, Mapping[str, Tensor]]:
    """Read the weights of a record.

    Parameters
    ----------
    record : dict
        What :func:`save_estimator` wrote.
    folder : Path
        Where it wrote the weights.

    Returns
    -------
    source : str
        Their file.
    tensors : mapping of str to Tensor
        The weights.

    Raises
    ------
    FileNotFoundError
        If there are none.
    CheckpointError
        If they are broken or not those of the record.
    """
    file = _weights_file(folder, record["weights_sha256"])
    try:
        return str(file), read_tensors(file, record["weights_sha256"])[0]
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{file} is missing: an estimator is a whole folder, copy it anew."
        ) from None
    except OutdatedError as error:
        raise OutdatedError(
            f"{file} is damaged, or not the file that belongs to {RECORD}: copy the folder anew."
        ) from error


def _weights_file(folder: Path, digest: str) -> Path:
    # Named by its content: the weights of a record stay until another record is in its place.
    return folder / f"model-{digest[:_SHOWN]}.safetensors"


def _plain_parameters(estimator: SignalEstimator) -> dict[str, Any]:
    parameters = estimator.get_params(deep=False)
    for name in _UNSAVED.keys() & parameters.keys():
        try:
            json.dumps(parameters[name], default=_plain)
        except TypeError:
            warn(f"{name}={parameters[name]!r} is not saved: give it again before a further fit.")
            parameters[name] = _UNSAVED[name]
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
