# License: BSD-3-Clause
"""Fitted estimators as a folder of safetensors and JSON, without a pickle."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping
from hashlib import sha256
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from .._sealed import DIGEST, is_whole, seal
from .._warnings import warn
from .._writing import json_text, saving, sha256_of
from ..weights import CheckpointError
from ..weights.blueprint import check_parts
from ..weights.manifest import OutdatedError, read_unchanged
from ..weights.reading import check_fit, fill
from ..weights.registry import Kind
from ..weights.saving import state_bytes
from ..weights.systems import SYSTEMS, Config
from ..weights.tensors import read_tensors, shapes_of

RECORD = "estimator.json"
FORMAT = 1
# Digits of the weights' hash that their file is named by.
_SHOWN = 16
# A record is some kilobytes, and longer for long histories and many channels.
_MAX_RECORD = 200_000_000
# What a file may be unable to hold, and what takes its place: only a further fit, or the time that
# outputs take, depends on it.
_UNSAVED = {"callbacks": None, "random_state": None, "memory": "auto"}


class SavedEstimator(BaseEstimator):
    """An estimator that :meth:`save` writes and :func:`load_estimator` loads."""

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the fitted estimator as a folder of safetensors and JSON.

        Parameters
        ----------
        path : str | path-like
            Folder, made if absent; an estimator in it is replaced.

        Returns
        -------
        Path
            The folder, for :func:`~mne_neurorvq.load_estimator`. It holds the weights of the
            models that the estimator has used.

        Raises
        ------
        TypeError
            If a parameter on which outputs depend, or a label, cannot be written as JSON.

        Warns
        -----
        UserWarning
            If there are callbacks, a RandomState or a ``joblib.Memory``, which are not saved.
        """
        check_is_fitted(self)
        facts, weights = self._state()
        record = {
            "format": FORMAT,
            "written_by": f"mne_neurorvq {version('mne_neurorvq')}",
            "class": type(self).__name__,
            "parameters": _plain_parameters(self),
            **facts,
        }
        plain = json.loads(json.dumps(record, default=_plain))  # raises before a file is written
        return _write(Path(path), plain, state_bytes(weights))

    @abstractmethod
    def _state(self) -> tuple[dict[str, Any], nn.Module]:
        """Return everything that fit has learned: plain data, and a module with the weights."""

    @abstractmethod
    def _set_state(self, record: dict[str, Any]) -> None:
        """Restore what :meth:`_state` returned, except for the network."""

    @abstractmethod
    def _configs(self, record: dict[str, Any]) -> dict[Kind, Config]:
        """Return the configurations of the models in a record."""

    @abstractmethod
    def _make_network(self, record: dict[str, Any]) -> tuple[nn.Module, nn.Module]:
        """Build the network of a record, and the module into which its weights are read."""

    @abstractmethod
    def _set_network(self, network: nn.Module, record: dict[str, Any]) -> None:
        """Restore the network, whose weights have been read."""


def load_estimator(path: str | PathLike[str]) -> SavedEstimator:
    """Load an estimator that its ``save`` wrote.

    Parameters
    ----------
    path : str | path-like
        The folder.

    Returns
    -------
    BaseEstimator
        The transformer, classifier or regressor, fitted: its outputs are those of the saved one.

    Raises
    ------
    FileNotFoundError
        If there is no estimator.
    ValueError
        If the files are broken, do not belong together or were written by a newer version.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from mne_neurorvq import NeuroRVQClassifier, load_estimator
    >>> y = np.tile(["left", "right"], 4)
    >>> X = 10 * np.random.default_rng(0).standard_normal((8, 1, 200))  # microvolts
    >>> model = NeuroRVQClassifier("neurorvq-eeg-tiny-random", finetune="head", max_epochs=1,
    ...                            ch_names=["Cz"], sfreq=200.0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     loaded = load_estimator(model.save(folder))
    >>> bool((loaded.predict_proba(X) == model.predict_proba(X)).all())
    True
    """
    folder = Path(path)
    file = folder / RECORD

    def read(content: bytes | None) -> tuple[dict[str, Any], str, Mapping[str, Tensor]]:
        if content is None:
            raise FileNotFoundError(f"{path} holds no estimator: there is no {RECORD}.")
        if len(content) > _MAX_RECORD:
            raise ValueError(f"{len(content)} bytes are too many")
        record = json.loads(content)
        if record["format"] != FORMAT:
            raise CheckpointError(
                f"{file} has the format {record['format']!r} of {record['written_by']}, this "
                f"version reads {FORMAT}: update mne_neurorvq."
            )
        # Earlier versions did not seal it.
        if DIGEST in record and not is_whole(record):
            raise CheckpointError(
                f"{file} is damaged or was changed by hand: copy the folder or save the estimator "
                f"anew. If you have changed it yourself, delete its {DIGEST!r}."
            )
        return record, *_read_weights(record, folder)

    try:
        return _restore(*read_unchanged(file, read))
    except (OSError, CheckpointError):
        raise
    except Exception as error:
        raise ValueError(f"{file} is not the record of an estimator: {error!r}.") from error


def _restore(record: dict[str, Any], source: str, tensors: Mapping[str, Tensor]) -> SavedEstimator:
    """Make an estimator of its record and of tensors, which were read from ``source``."""
    parameters = record["parameters"]
    if isinstance(parameters.get("class_weight"), list):
        parameters["class_weight"] = dict(map(tuple, parameters["class_weight"]))
    estimator: SavedEstimator = _classes()[record["class"]](**parameters)
    estimator._set_state(record)
    # What the record asks for is compared with what is there before memory is taken for it.
    for kind, config in estimator._configs(record).items():
        check_parts(config, shapes_of(tensors), source, quantizer=kind == "tokenizer")
    with torch.random.fork_rng(devices=[]):
        for device, read in (("meta", check_fit), ("cpu", fill)):
            with torch.device(device):
                network, holder = estimator._make_network(record)
            read(holder, tensors=tensors, source=source)
    estimator._set_network(network.eval(), record)
    return estimator


def _classes() -> dict[str, Any]:
    """All estimators by their names."""
    names = [
        name
        for system in SYSTEMS.values()
        for name in (system.transformer, system.classifier, system.regressor)
        if name is not None
    ]
    return {name.partition(":")[2]: resolve_name(name) for name in names}


def _write(folder: Path, record: dict[str, Any], weights: bytes) -> Path:
    """Write a record and the weights that belong to it."""
    record["weights_sha256"] = sha256(weights).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    with saving(folder, RECORD) as saver:
        saver.clean()
        target = _weights_file(folder, record["weights_sha256"])
        # The record comes last and takes its place in one step: an interruption or a full disk
        # leaves the earlier estimator as it was.
        files = {target: weights, folder / RECORD: json_text(seal(record)).encode("utf-8")}
        if target.is_file() and sha256_of(target) == record["weights_sha256"]:
            del files[target]  # another process may be reading it
        try:
            for file, content in files.items():
                saver.write(file, content)
        finally:
            saver.clean()
        for file in folder.glob(f"model-{'[0-9a-f]' * _SHOWN}.safetensors"):
            if file != target:
                file.unlink()
    return folder


def _read_weights(record: dict[str, Any], folder: Path) -> tuple[str, Mapping[str, Tensor]]:
    """Read the weights of a record; give their file, too."""
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


def _plain_parameters(estimator: BaseEstimator) -> dict[str, Any]:
    parameters: dict[str, Any] = estimator.get_params(deep=False)
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
