# License: BSD-3-Clause
"""From models to a folder that ``load_pretrained`` takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from .._references import Reference
from .._writing import write_bytes
from .configs import CONFIG_FILE, config_from_json, config_to_json
from .errors import first_few
from .loading import CARD_FILE, KINDS, find_file, load_pretrained
from .manifest import Folder, saving_together
from .provenance import MEASURES_FILE, TRAINING_FILE
from .reading import METADATA_CONFIG, METADATA_KIND
from .registry import Kind
from .systems import Config, Foundation, Model, Tokenizer
from .target_head import TARGET_HEAD
from .tensors import check_finite


def save_pretrained(
    directory: str | PathLike[str],
    tokenizer: Tokenizer | None = None,
    foundation: Foundation | None = None,
    *,
    card: str | None = None,
    dtype: Literal["float16", "float32"] = "float16",
) -> Path:
    """Save models as a folder.

    Parameters
    ----------
    directory : str | path-like
        Folder, made if absent. It receives ``config.json``, ``tokenizer.safetensors`` and
        ``foundation.safetensors`` as given, ``README.md``, and ``manifest.json``, which binds
        them. Files of these names are replaced, all at once; what is not given stays as it was.
    tokenizer : NeuroRVQTokenizer | BioCodec | BrainRVQTokenizer | None
        Tokenizer.
    foundation : NeuroRVQ | BrainRVQ | None
        Foundation model, of the same configuration.
    card : str | None
        Text of the model card.
    dtype : "float16" | "float32"
        Precision of matrices and codebooks on disk. Vectors, tables of counts and flags keep
        theirs: they are small, and half precision would not hold them.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ValueError
        If there is no model; if the two, or one and the one that stays, differ in configuration
        beyond what only foundation models have; or if a value does not fit ``dtype``.
    OSError
        If the files cannot be written, as on a full disk: the folder is then as it was, or new.

    Notes
    -----
    At any moment, even if the process is killed, :func:`load_pretrained` finds the old models or
    the new ones, never one of each. Processes that save in the same folder take turns. See
    :doc:`/promises`.

    Examples
    --------
    >>> import tempfile
    >>> from mne_neurorvq import load_pretrained
    >>> from mne_neurorvq.weights import save_pretrained
    >>> tiny = load_pretrained("neurorvq-eeg-tiny-random")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save_pretrained(folder, tokenizer=tiny.tokenizer, card="A tiny model.")
    ...     load_pretrained(path).card
    'A tiny model.'
    """
    if dtype not in ("float16", "float32"):
        raise ValueError(f"dtype must be 'float16' or 'float32', got {dtype!r}.")
    given: dict[Kind, Model | None] = {"tokenizer": tokenizer, "foundation": foundation}
    models = {kind: model for kind, model in given.items() if model is not None}
    if not models:
        raise ValueError("there is nothing to save: give a tokenizer or a foundation model.")
    if (
        tokenizer is not None
        and foundation is not None
        and not _same_but_for_foundation(tokenizer.config, foundation.config)
    ):
        raise ValueError(
            "the tokenizer and the foundation model have different configurations: save them in "
            "two folders."
        )
    if foundation is not None and foundation.final_layer is not None and foundation.head != "mean":
        of = "flattened patches" if foundation.head == "flatten" else "the class token"
        raise ValueError(
            f"a classification head over {of} is not saved, only one over the mean: set "
            "final_layer to None first."
        )
    files = _model_files(models, dtype) | ({} if card is None else {CARD_FILE: card.encode()})
    folder = Path(directory)
    with saving_together(folder) as together:
        staying = _others(together.before, models)
        for name, content in files.items():
            together.add(name, content)
        beside = set(together.before.digests or (CARD_FILE, TRAINING_FILE, MEASURES_FILE))
        if foundation is not None:
            beside -= {TARGET_HEAD}  # of the one before
        together.keep([*staying, *beside])
    return folder


def _same_but_for_foundation(tokenizer: Config, foundation: Config) -> bool:
    same_system = isinstance(foundation, type(tokenizer))
    return same_system and tokenizer.with_foundation_of(foundation) == foundation


def _config_of(models: Mapping[Kind, Model]) -> Config:
    """Choose the configuration of a folder: that of the foundation model says more."""
    return list(models.values())[-1].config


def _model_files(models: Mapping[Kind, Model], dtype: str) -> dict[str, bytes]:
    tensors = {kind: _on_disk(model, kind, dtype) for kind, model in models.items()}
    return _files(tensors, _config_of(models))


def _files(tensors: Mapping[Kind, dict[str, Tensor]], config: Config) -> dict[str, bytes]:
    files = {CONFIG_FILE: f"{config_to_json(config, indent=2)}\n".encode()}
    for kind, state in tensors.items():
        metadata = {METADATA_CONFIG: config_to_json(config), METADATA_KIND: kind}
        files[f"{kind}.safetensors"] = save(state, metadata=metadata)
    return files


def files_with_reference(files: Mapping[str, bytes], reference: Reference) -> dict[str, bytes]:
    """Give the files of a folder for a model that wants its signals in a reference."""
    config = config_from_json(files[CONFIG_FILE], CONFIG_FILE)
    tensors: dict[Kind, dict[str, Tensor]] = {
        kind: load(files[name]) for kind in KINDS if (name := f"{kind}.safetensors") in files
    }
    return {**files, **_files(tensors, replace(config, reference=reference))}


def _others(folder: Folder, models: Mapping[Kind, Model]) -> list[str]:
    """Name the file of the model of a folder that is not replaced, if it fits the new one."""
    config = _config_of(models)
    names = {kind: find_file(folder, kind) for kind in KINDS if kind not in models}
    for kind, name in names.items():
        if name is not None and load_pretrained(folder.path, only=kind).config != config:
            raise ValueError(
                f"{folder.path} holds a {kind} model of another configuration ({name}), which "
                "would not go with the new model: save both together, or in another folder."
            )
    return [name for name in names.values() if name is not None]


def write_state(path: Path, module: nn.Module, metadata: Mapping[str, str] | None = None) -> None:
    """Write the tensors of a module as they are, for :func:`~.reading.fill`."""
    write_bytes(path, state_bytes(module, metadata))


def state_bytes(module: nn.Module, metadata: Mapping[str, str] | None = None) -> bytes:
    """Give what :func:`write_state` writes."""
    state = {name: tensor.detach().cpu() for name, tensor in module.state_dict().items()}
    check_finite(state, "the model")
    return save({name: tensor.contiguous() for name, tensor in state.items()}, dict(metadata or {}))


def _on_disk(model: Model, kind: str, dtype: str) -> dict[str, Tensor]:
    state = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    check_finite(state, f"the {kind}")
    halved = {"quantizer.codebook"} | {
        name for name, parameter in model.named_parameters() if parameter.ndim >= 2
    }
    if dtype == "float16":
        limit = torch.finfo(torch.float16).max
        large = [n for n in state if n in halved and bool((state[n].abs() > limit).any())]
        if large:
            raise ValueError(
                f"values beyond the range of float16 in {first_few(large)}: save the {kind} "
                "with dtype='float32'."
            )
        state = {name: t.half() if name in halved else t for name, t in state.items()}
    return {name: tensor.contiguous().clone() for name, tensor in state.items()}
