# License: BSD-3-Clause
"""From a name, a folder or a file to models."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Literal, NamedTuple, TypeGuard, overload

from .._table import html_table
from .._warnings import warn
from ..models import BioCodec, BrainRVQ, BrainRVQTokenizer, NeuroRVQ, NeuroRVQTokenizer
from ..models.heads import TargetHead
from .blueprint import Blueprint
from .configs import CONFIG_FILE, config_from_json, config_of
from .download import PREFIX, fetch, fetch_folder
from .errors import CheckpointError
from .manifest import Folder, OutdatedError, read_checked, read_together
from .reading import Content, make_model
from .registry import (
    BUNDLED,
    Kind,
    Pretrained,
    SystemName,
    find_pretrained,
    list_pretrained,
    registered,
)
from .systems import SYSTEMS, Config, Foundation, Model, Tokenizer
from .target_head import TARGET_HEAD, has_target_head, make_target_head, read_target_head
from .tensors import read_tensors
from .untrained import build_untrained

CARD_FILE = "README.md"
KINDS: tuple[Kind, ...] = ("tokenizer", "foundation")
_NEEDS = {"tokenizer": "codes and reconstructions need", "foundation": "embeddings need"}
_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
# What a tokenizer and a foundation model must share to be used on the same windows.
_SHARED = ("system", "modality", "channels", "sfreq", "unit", "patch_size", "reference")


@dataclass(frozen=True, repr=False)
class LoadedModel:
    """Models loaded from one place.

    In notebooks its facts are a table that folds.

    Parameters
    ----------
    name : str
        Registered name, or the path.
    config : NeuroRVQConfig | BioCodecConfig | BrainRVQConfig
        Structure.
    tokenizer : NeuroRVQTokenizer | BioCodec | BrainRVQTokenizer | None
        Tokenizer, where there is one.
    foundation : NeuroRVQ | BrainRVQ | None
        Foundation model, where there is one.
    card : str | None
        Text of the model card.
    revision : str | None
        Revision that was downloaded; None for models in the package and for paths.
    target_head : Module | None
        Linear layer that tells physiological numbers of the features of a foundation model that
        has learned to; the names of the numbers are the keys of its ``sizes``.

    Examples
    --------
    >>> from mne_neurorvq import load_pretrained
    >>> loaded = load_pretrained("neurorvq-eeg-tiny-random")
    >>> loaded.kinds, loaded.config.sfreq
    (('tokenizer', 'foundation'), 200.0)
    >>> loaded
    <LoadedModel | neurorvq-eeg-tiny-random | NeuroRVQ: tokenizer, foundation | EEG at 200 Hz>
    """

    name: str
    config: Config
    tokenizer: Tokenizer | None = None
    foundation: Foundation | None = None
    card: str | None = None
    revision: str | None = None
    target_head: TargetHead | None = None

    def __repr__(self) -> str:
        config, kinds = self.config, ", ".join(self.kinds)
        system, signal = SYSTEMS[config.system].title, config.modality.upper()
        return f"<LoadedModel | {self.name} | {system}: {kinds} | {signal} at {config.sfreq:g} Hz>"

    def _repr_html_(self) -> str:
        return html_table(repr(self).strip("<>"), self._facts())

    def _facts(self) -> list[list[str]]:
        """Lines of name and value, for a table."""
        config, quantizer = self.config, self.config.quantizer
        names = getattr(config, "channels", ())
        entry = registered(self.name)
        sizes: dict[str, str] = {kind: _size(getattr(self, kind)) for kind in self.kinds}
        facts = sizes | {
            "signals": f"{config.modality.upper()} in {config.unit} at {config.sfreq:g} Hz",
            "channels": f"{len(names)} names" if names else "any, one at a time",
            "patch": f"{config.patch_size} samples, {config.patch_size / config.sfreq:g} s",
            "codes": f"{quantizer.n_codebooks} codebooks × {quantizer.n_levels} levels, "
            f"{quantizer.n_codes} codes each",
            "reference": config.reference,
            "physiology": f"{len(self.target_head.sizes)} numbers" if self.target_head else "",
            "licence": entry.licence if entry else "",
            "revision": self.revision or "",
        }
        return [[name, value] for name, value in facts.items() if value]

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Which models there are."""
        return tuple(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def fingerprint(self) -> str | None:
        """Hash of the tokenizer's codebooks; None without a tokenizer."""
        if self.tokenizer is None:
            return None
        codebook = self.tokenizer.quantizer.codebook.detach().cpu().contiguous()
        return hashlib.sha256(codebook.numpy().data).hexdigest()[:16]

    @overload
    def require(
        self, kind: Literal["tokenizer"], system: Literal["neurorvq"] = "neurorvq"
    ) -> NeuroRVQTokenizer: ...

    @overload
    def require(self, kind: Literal["tokenizer"], system: Literal["biocodec"]) -> BioCodec: ...

    @overload
    def require(
        self, kind: Literal["tokenizer"], system: Literal["brainrvq"]
    ) -> BrainRVQTokenizer: ...

    @overload
    def require(
        self, kind: Literal["foundation"], system: Literal["neurorvq"] = "neurorvq"
    ) -> NeuroRVQ: ...

    @overload
    def require(self, kind: Literal["foundation"], system: Literal["brainrvq"]) -> BrainRVQ: ...

    def require(self, kind: Kind, system: SystemName = "neurorvq") -> Model:
        """Get a model, or say why there is none.

        Parameters
        ----------
        kind : "tokenizer" | "foundation"
            Which.
        system : "neurorvq" | "biocodec" | "brainrvq"
            Of which architecture it must be.

        Returns
        -------
        NeuroRVQTokenizer | NeuroRVQ | BioCodec | BrainRVQTokenizer | BrainRVQ
            The model.

        Raises
        ------
        ValueError
            If there is none; the error names models that have it.
        """
        config = self.config
        if config.system != system:
            wanted, found = SYSTEMS[system].title, SYSTEMS[config.system].title
            names = _that_have(kind, system, config.modality)
            raise ValueError(
                f"a {wanted} model is needed here, but {self.name!r} is a {found} model.{names}"
            )
        model: Model | None = getattr(self, kind)
        if model is None:
            raise _lacks(kind, self.name, self.kinds[0], config)
        return model

    def require_target_head(self) -> TargetHead:
        """Get the layer that tells physiological numbers, or say why there is none.

        Returns
        -------
        Module
            The layer.

        Raises
        ------
        ValueError
            If there is none; the error names models that have it.
        """
        if self.target_head is not None:
            return self.target_head
        having = [
            entry.name
            for entry in list_pretrained()
            if entry.bundled and (BUNDLED / entry.name / TARGET_HEAD).is_file()
        ]
        named = f"Models that have one: {', '.join(having)}. " if having else ""
        raise ValueError(
            f"output='physiology' needs a model that has learned to tell physiological numbers, "
            f"but {self.name!r} has no {TARGET_HEAD} that names them. {named}Runs of 'mne-neurorvq "
            "pretrain foundation' with weights in foundation.targets have one once they are "
            "exported."
        )


def load_pretrained(
    pretrained: str | PathLike[str], revision: str | None = None, *, only: Kind | None = None
) -> LoadedModel:
    """Load a pretrained model by name or from a path.

    Parameters
    ----------
    pretrained : str | path-like
        A name of :func:`list_pretrained`; a folder with ``tokenizer`` and ``foundation`` files,
        ``config.json`` and ``README.md``, as :func:`save_pretrained` writes it; a repository of the
        Hugging Face Hub with these files, ``"hf://owner/name"``; or one file of this package or of
        the authors, whose configuration is inferred from its tensors.
    revision : str | None
        Branch, tag or commit of the repository, for names that are downloaded. None takes the
        registered one; of ``"hf://owner/name"`` what is in the cache, or else the newest.
    only : "tokenizer" | "foundation" | None
        Load this one only, which spares the download and the memory of the other.

    Returns
    -------
    LoadedModel
        New modules in float32, on the CPU, in evaluation mode; no call shares them with another.

    Raises
    ------
    ValueError
        If the name is unknown, or a file is not what it should be
        (:class:`~mne_neurorvq.weights.CheckpointError` and its subclasses).
    OSError
        If a file cannot be downloaded (:class:`~mne_neurorvq.weights.DownloadError` and its
        subclasses).

    Warns
    -----
    UserWarning
        If the model card is not the one that was saved with the models.

    Notes
    -----
    Loading is strict: every tensor must be there, with its shape, of its kind of number and
    finite, and none may be unknown, but for those of a foundation model that no output needs.
    Files that :func:`save_pretrained` wrote must be those that were saved together.

    Examples
    --------
    >>> from mne_neurorvq import load_pretrained
    >>> load_pretrained("neurorvq-eeg-tiny-random", only="tokenizer").foundation is None
    True
    >>> load_pretrained("neurorvq-eeg-tyni-random")
    Traceback (most recent call last):
    ...
    ValueError: 'neurorvq-eeg-tyni-random' is neither a file or folder nor the name of a ...
    """
    if only is not None and only not in KINDS:
        raise ValueError(f"only must be one of {KINDS} or None, got {only!r}.")
    kinds = KINDS if only is None else (only,)
    path = Path(pretrained).expanduser()
    if (entry := registered(pretrained)) is not None:
        return _load_named(entry, revision, kinds)
    if path.exists():
        _refuse_revision(revision, f"{str(path)!r} is a path")
        return _load_path(path, str(path), kinds)
    if is_repository(pretrained):
        folder = fetch_folder(pretrained, revision, kinds)
        return replace(_load_path(folder, pretrained, kinds), revision=folder.name)
    if not isinstance(pretrained, str) or len(path.parts) > 1 or path.suffix in _SUFFIXES:
        hub = f" On the Hugging Face Hub: {f'{PREFIX}{path}'!r}." if len(path.parts) == 2 else ""
        raise FileNotFoundError(f"there is no file or folder {str(path)!r}.{hub}")
    return _load_named(find_pretrained(pretrained), revision, kinds)


def find_config(pretrained: str | PathLike[str]) -> Config:
    """Look up the configuration of a model; of a named one, the published, without a download."""
    entry = registered(pretrained)
    return load_pretrained(pretrained).config if entry is None else entry.config


def _size(model: Model) -> str:
    return f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters"


def is_repository(pretrained: str | PathLike[str]) -> TypeGuard[str]:
    """Whether a name is that of a repository of the Hugging Face Hub."""
    return isinstance(pretrained, str) and pretrained.startswith(PREFIX)


def _lacks(kind: Kind, name: str, held: Kind, config: Config | Pretrained | None) -> ValueError:
    # Name models of the same system, or of the first that has such models.
    having = [name for name, system in SYSTEMS.items() if kind in system.stages]
    system = config.system if config is not None and config.system in having else having[0]
    names = _that_have(kind, system, None if config is None else config.modality)
    if not names and kind == "foundation":
        names = " Of its codes, output='tokens' or 'histogram' can be had."
    return ValueError(
        f"{_NEEDS[kind]} a {kind} model, but {name!r} holds only a {held} model.{names}"
    )


def _that_have(kind: Kind, system: str, modality: str | None) -> str:
    """Name models that have what another lacks, for a message."""
    names = [
        entry.name
        for entry in list_pretrained()
        if kind in entry.kinds and entry.system == system and modality in (entry.modality, None)
    ]
    return f" Models that have one: {', '.join(names)}." if names else ""


def _refuse_revision(revision: str | None, why: str) -> None:
    if revision is not None:
        raise ValueError(f"revision={revision!r} is for models that are downloaded, but {why}.")


def _load_named(entry: Pretrained, revision: str | None, wanted: tuple[Kind, ...]) -> LoadedModel:
    kinds = tuple(kind for kind in wanted if kind in entry.kinds)
    if not kinds:
        raise _lacks(wanted[0], entry.name, entry.kinds[0], entry)
    if entry.bundled:
        _refuse_revision(revision, f"{entry.name!r} is part of the package")
        if entry.seed is None:
            return _load_path(BUNDLED / entry.name, entry.name, kinds)
        config = config_of(entry)
        models = {
            kind: build_untrained(Blueprint(kind, config), 2 * entry.seed + KINDS.index(kind))
            for kind in kinds
        }
        return _assemble(entry.name, models, card=entry.notes)
    revision = entry.revision if revision is None else revision
    contents = {
        file.kind: _Named(str(path := fetch(entry, file, revision)), read_tensors(path))
        for file in entry.files
        if file.kind in kinds
    }
    return _assemble(entry.name, _make_models(contents, None), None, revision)


def _load_path(path: Path, name: str, kinds: tuple[Kind, ...]) -> LoadedModel:
    if path.is_file():
        model = make_model(read_tensors(path), str(path))
        if kind_of(model) not in kinds:
            raise _lacks(kinds[0], name, kind_of(model), model.config)
        return _assemble(name, {kind_of(model): model})
    return read_together(path, lambda folder: _load_folder(folder, name, kinds))()


class _Named(NamedTuple):
    """What a file holds, and its name for errors."""

    source: str
    content: Content


def _load_folder(folder: Folder, name: str, kinds: tuple[Kind, ...]) -> Callable[[], LoadedModel]:
    """Open the files of a folder, which takes little time; what is returned makes the models."""
    found = {kind: file for kind in KINDS if (file := find_file(folder, kind)) is not None}
    if not found:
        wanted = " nor ".join(f"{kind}.safetensors" for kind in KINDS)
        raise CheckpointError(f"the folder {folder.path} holds no model: neither {wanted}.")
    names = {kind: file for kind, file in found.items() if kind in kinds}
    if not names:
        raise _lacks(kinds[0], name, next(iter(found)), None)
    config = None
    if folder.has(CONFIG_FILE):
        text = folder.read(CONFIG_FILE, read_checked)
        config = config_from_json(text, str(folder.path / CONFIG_FILE))
    contents = {
        kind: _Named(str(folder.path / file), folder.read(file, read_tensors))
        for kind, file in names.items()
    }
    card = _read_card(folder)
    head = None
    if "foundation" in kinds and has_target_head(folder):
        head = _Named(str(folder.path / TARGET_HEAD), read_target_head(folder))
    return lambda: _assemble(name, _make_models(contents, config), card, head=head)


def _read_card(folder: Folder) -> str | None:
    """Read the card; a bad card never keeps a model from loading."""
    path = folder.path / CARD_FILE
    try:
        card = folder.read(CARD_FILE, read_checked) if folder.has(CARD_FILE) else None
    except OutdatedError:
        if not folder.is_current:
            raise
        warn(
            f"{path} is not the card that was saved with the models: it may be about others. If "
            "you have changed it yourself, save the models with it, save_pretrained(..., card=)."
        )
        card = None
        with suppress(OSError):
            card = path.read_bytes() if path.is_file() else None
    except OSError as error:
        if not folder.is_current:
            raise
        warn(f"{path} cannot be read ({error}): the models are loaded without their card.")
        card = None
    return None if card is None else card.decode("utf-8", "replace")


def find_file(folder: Folder, kind: Kind) -> str | None:
    """Find the file of a kind of model."""
    names = {file.name for file in folder.path.glob(f"*{kind}*") if file.is_file()}
    names |= {name for name in folder.digests if kind in name and "/" not in name}
    found = sorted(name for name in names if Path(name).suffix in _SUFFIXES)
    found = [name for name in found if Path(name).stem == kind] or found
    if len(found) > 1:
        raise CheckpointError(
            f"the folder {folder.path} holds several {kind} models ({', '.join(found)}): give the "
            "path of one."
        )
    return found[0] if found else None


def _make_models(contents: dict[Kind, _Named], config: Config | None) -> dict[Kind, Model]:
    """Make the models of a pair, the tokenizer first: it shows what the other does not."""
    models: dict[Kind, Model] = {}
    for kind in (kind for kind in KINDS if kind in contents):
        like = models["tokenizer"].config if "tokenizer" in models else None
        source, content = contents.pop(kind)
        models[kind] = make_model(content, source, config, like)
        if kind_of(models[kind]) != kind:
            raise CheckpointError(
                f"{source} should hold a {kind} model but holds a {kind_of(models[kind])} model."
            )
    return models


def kind_of(model: Model) -> Kind:
    """Which of the two a model is."""
    return "foundation" if isinstance(model, Foundation) else "tokenizer"


def _assemble(
    name: str,
    models: dict[Kind, Model],
    card: str | None = None,
    revision: str | None = None,
    head: _Named | None = None,
) -> LoadedModel:
    tokenizer, foundation = models.get("tokenizer"), models.get("foundation")
    assert tokenizer is None or isinstance(tokenizer, Tokenizer)
    assert foundation is None or isinstance(foundation, Foundation)
    if tokenizer is not None and foundation is not None:
        _check_pair(name, tokenizer, foundation)
    config = next(iter(models.values())).config
    targets = None
    if head is not None and foundation is not None:
        targets = make_target_head(head.content, foundation.config, head.source)
    return LoadedModel(name, config, tokenizer, foundation, card, revision, targets)


def _check_pair(name: str, tokenizer: Tokenizer, foundation: Foundation) -> None:
    both = (tokenizer.config, foundation.config)
    facts = [(setting, *(getattr(config, setting, None) for config in both)) for setting in _SHARED]
    if foundation.masked_tokens is not None:
        facts += [
            (setting, *(getattr(config.quantizer, setting) for config in both))
            for setting in ("n_codebooks", "n_levels", "n_codes")
        ]
    for setting, ours, theirs in facts:
        if ours != theirs:
            raise CheckpointError(
                f"the two models of {name} do not belong together: {setting} is {ours} in the "
                f"tokenizer and {theirs} in the foundation model."
            )
