# License: BSD-3-Clause
"""From models to a folder that ``load_pretrained`` takes."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save
from torch import Tensor, nn

from .configs import CONFIG_FILE, config_to_json
from .errors import first_few
from .files import check_finite
from .loading import CARD_FILE
from .reading import METADATA_CONFIG, METADATA_KIND
from .systems import Foundation, Model, Tokenizer


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
        ``foundation.safetensors`` as given, and ``README.md``; files of these names are replaced.
    tokenizer : NeuroRVQTokenizer | BioCodec | BrainRVQTokenizer | None
        Tokenizer.
    foundation : NeuroRVQ | BrainRVQ | None
        Foundation model, of the same configuration.
    card : str | None
        Text of the model card.
    dtype : "float16" | "float32"
        Precision of matrices and codebooks on disk. Vectors, tables of counts and flags keep
        theirs: they take no room and half precision would lose them.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ValueError
        If there is no model, the two differ in configuration, or a value does not fit ``dtype``.

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
    models = {
        kind: model
        for kind, model in (("tokenizer", tokenizer), ("foundation", foundation))
        if model is not None
    }
    if not models:
        raise ValueError("there is nothing to save: give a tokenizer or a foundation model.")
    if tokenizer is not None and foundation is not None and tokenizer.config != foundation.config:
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
    states = {kind: _on_disk(model, kind, dtype) for kind, model in models.items()}
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    config = next(iter(models.values())).config
    for kind, state in states.items():
        metadata = {METADATA_CONFIG: config_to_json(config), METADATA_KIND: kind}
        _write(folder / f"{kind}.safetensors", state, metadata)
    (folder / CONFIG_FILE).write_text(config_to_json(config, indent=2) + "\n", encoding="utf-8")
    if card is not None:
        (folder / CARD_FILE).write_text(card, encoding="utf-8")
    return folder


def write_state(path: Path, module: nn.Module) -> None:
    """Write the tensors of a module as they are, for :func:`read_state`.

    Parameters
    ----------
    path : Path
        File, replaced if it exists.
    module : nn.Module
        Module.

    Raises
    ------
    CheckpointError
        If a value is not finite.
    """
    state = {name: tensor.detach().cpu() for name, tensor in module.state_dict().items()}
    check_finite(state, "the model")
    _write(path, {name: tensor.contiguous() for name, tensor in state.items()}, {})


def _write(path: Path, state: dict[str, Tensor], metadata: dict[str, str]) -> None:
    # Not save_file: it makes files that only their owner can read.
    path.write_bytes(save(state, metadata=metadata))


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
