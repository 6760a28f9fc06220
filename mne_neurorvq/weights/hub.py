# License: BSD-3-Clause
"""Models in repositories of the Hugging Face Hub, each of the files of ``save_pretrained``."""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from .._warnings import warn
from .card import make_card
from .download import PREFIX
from .loading import kind_of, load_pretrained
from .registry import Kind
from .saving import save_pretrained
from .systems import SYSTEMS, Foundation, Model, Tokenizer

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def push_to_hub(
    repo_id: str,
    tokenizer: Tokenizer | None = None,
    foundation: Foundation | None = None,
    *,
    card: str | None = None,
    licence: str = "other",
    dtype: Literal["float16", "float32"] = "float16",
    private: bool | None = None,
    token: str | bool | None = None,
    branch: str | None = None,
    create_pr: bool = False,
    commit_message: str = "Models saved with mne_neurorvq",
) -> str:
    """Save models in a repository of the Hugging Face Hub.

    Parameters
    ----------
    repo_id : str
        Repository, ``"owner/name"``, made if absent.
    tokenizer : NeuroRVQTokenizer | BioCodec | BrainRVQTokenizer | None
        Tokenizer.
    foundation : NeuroRVQ | BrainRVQ | None
        Foundation model, of the same configuration.
    card : str | None
        Text of the model card, with or without YAML at its head; None says what the model reads
        and how it is loaded.
    licence : str
        Licence of the weights as the Hub spells it, such as ``"bsd-3-clause"``.
    dtype : "float16" | "float32"
        As in :func:`save_pretrained`.
    private : bool | None
        Whether a repository that is made is private; None takes what its owner has set.
    token : str | bool | None
        Token of the Hub; None takes that of ``hf auth login``.
    branch : str | None
        Branch; None takes ``"main"``.
    create_pr : bool
        Whether to open a pull request instead.
    commit_message : str
        Message of the commit.

    Returns
    -------
    str
        Address of the commit, or of the pull request.

    Raises
    ------
    ValueError
        As :func:`save_pretrained`.
    huggingface_hub.errors.HfHubHTTPError
        If the Hub refuses, for example without a token that may write.

    Notes
    -----
    All files come in one commit, so that nobody finds files of two models. ``"hf://owner/name"``
    is then the name of the model, here and wherever there is ``pretrained=``. A folder that
    ``mne-neurorvq export`` has made is published with ``hf upload owner/name folder``.

    Examples
    --------
    >>> from mne_neurorvq import NeuroRVQTransformer
    >>> from mne_neurorvq.weights import push_to_hub
    >>> push_to_hub("me/tokens", tokenizer, licence="cc-by-4.0")  # doctest: +SKIP
    >>> NeuroRVQTransformer("hf://me/tokens", output="tokens")
    NeuroRVQTransformer(output='tokens', pretrained='hf://me/tokens')
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    models = [model for model in (tokenizer, foundation) if model is not None]
    with TemporaryDirectory() as temporary:
        config = models[0].config if models else None  # without any, saving says so
        text = None if config is None else make_card(config, repo_id, licence, card)
        folder = save_pretrained(temporary, tokenizer, foundation, card=text, dtype=dtype)
        files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    api = HfApi(token=token)
    repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
    commit = api.create_commit(
        repo_id,
        [CommitOperationAdd(name, content) for name, content in sorted(files.items())],
        commit_message=commit_message,
        revision=branch,
        create_pr=create_pr,
    )
    return commit.pr_url or commit.commit_url


def load_model(
    kind: type[Any], pretrained: str | PathLike[str], revision: str | None, settings: dict[str, Any]
) -> Model:
    """Load a model of a class, see :meth:`~mne_neurorvq.models.hub.HubMixin.from_pretrained`."""
    which, system = _role(kind)
    name = str(pretrained)
    if _REPOSITORY.fullmatch(name) and not Path(pretrained).exists():
        pretrained = f"{PREFIX}{name}"
    loaded: Any = load_pretrained(pretrained, revision, only=which)
    model: Model = loaded.require(which, system)
    if not settings and type(model) is kind:
        return model
    if which == "foundation":
        rebuilt: Model = _with_head(kind, model, settings)
    else:
        rebuilt = kind(config=model.config, **settings)
        rebuilt.load_state_dict(model.state_dict())
    return rebuilt.eval()


def _with_head(kind: type[Any], model: Any, settings: dict[str, Any]) -> Model:
    """Make a foundation model with other settings; it keeps its head if that fits."""
    head = model.final_layer
    if head is None:
        rebuilt: Model = kind(pretrained=model, **settings)
        return rebuilt
    given = {"n_outputs": model.n_outputs, "head": model.head} | settings
    rebuilt = kind(pretrained=model, **given)
    new: Any = rebuilt.final_layer
    shapes = [[tuple(p.shape) for p in one.parameters()] for one in (head, new)]
    if shapes[0] == shapes[1]:
        new.load_state_dict(head.state_dict())
    else:
        warn(
            f"The saved head ({shapes[0]}) does not fit these settings ({shapes[1]}): it is "
            "drawn anew."
        )
    return rebuilt


def push_model(model: Model, repo_id: str, settings: dict[str, Any]) -> str:
    """Push one model, see :func:`push_to_hub`."""
    one: dict[str, Any] = {kind_of(model): model}
    return push_to_hub(repo_id, **one, **settings)


def save_model(model: Model, directory: str | PathLike[str], settings: dict[str, Any]) -> Path:
    """Save one model, see :func:`~mne_neurorvq.weights.save_pretrained`."""
    one: dict[str, Any] = {kind_of(model): model}
    return save_pretrained(directory, **one, **settings)


def _role(kind: type[Any]) -> tuple[Kind, str]:
    """Which model of which system a class is."""
    for name, system in SYSTEMS.items():
        if issubclass(kind, system.tokenizer):
            return "tokenizer", name
        if system.foundation is not None and issubclass(kind, system.foundation):
            return "foundation", name
    raise TypeError(f"{kind.__name__} is the tokenizer or foundation model of no system.")
