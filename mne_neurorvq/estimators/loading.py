# License: BSD-3-Clause
"""From a folder to the fitted estimator that was saved in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from torch import Tensor

from .._sealed import DIGEST, is_whole
from ..weights import CheckpointError
from ..weights.manifest import read_unchanged
from .base import SignalEstimator
from .biocodec_classifier import BioCodecClassifier
from .biocodec_transformer import BioCodecTransformer
from .brainrvq_classifier import BrainRVQClassifier
from .brainrvq_transformer import BrainRVQTransformer
from .neurorvq_classifier import NeuroRVQClassifier, NeuroRVQRegressor
from .neurorvq_transformer import NeuroRVQTransformer
from .persistence import FORMAT, RECORD, read_weights, restore

# A record is some kilobytes, and longer for long histories and many channels.
_MAX_RECORD = 200_000_000
_KINDS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        NeuroRVQTransformer,
        NeuroRVQClassifier,
        NeuroRVQRegressor,
        BioCodecTransformer,
        BioCodecClassifier,
        BrainRVQTransformer,
        BrainRVQClassifier,
    )
}


def load_estimator(path: str | PathLike[str]) -> SignalEstimator:
    """Load an estimator that its ``save`` wrote.

    Parameters
    ----------
    path : str | path-like
        The folder.

    Returns
    -------
    SignalEstimator
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
        return record, *read_weights(record, folder)

    try:
        record, source, tensors = read_unchanged(file, read)
        parameters = record["parameters"]
        if isinstance(parameters.get("class_weight"), list):
            parameters["class_weight"] = dict(map(tuple, parameters["class_weight"]))
        estimator = _KINDS[record["class"]](**parameters)
        restore(estimator, record, source, tensors)
    except (OSError, CheckpointError):
        raise
    except Exception as error:
        raise ValueError(f"{file} is not the record of an estimator: {error!r}.") from error
    return estimator
