# License: BSD-3-Clause
"""The methods by which models are exchanged, named as those of huggingface_hub's mixin."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Self

# Files and network are the business of a layer above, which is looked up when it is needed.
_HUB = "mne_neurorvq.weights.hub"


class HubMixin:
    """``from_pretrained``, ``save_pretrained`` and ``push_to_hub`` of a model.

    The names are those of `huggingface_hub.ModelHubMixin`, which braindecode's models have too;
    the files are those of :func:`~mne_neurorvq.weights.save_pretrained`, strictly checked.

    Examples
    --------
    >>> import tempfile
    >>> from mne_neurorvq.models import NeuroRVQ
    >>> model = NeuroRVQ.from_pretrained("neurorvq-eeg-tiny-random", n_outputs=2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = model.save_pretrained(folder)
    ...     NeuroRVQ.from_pretrained(folder).n_outputs
    2
    """

    @classmethod
    def from_pretrained(
        cls, pretrained: str | PathLike[str], *, revision: str | None = None, **settings: Any
    ) -> Self:
        """Load a model of this class.

        Parameters
        ----------
        pretrained : str | path-like
            A folder or file, the name of a registered model, or a repository of the Hugging Face
            Hub, ``"owner/name"`` or ``"hf://owner/name"``.
        revision : str | None
            Branch, tag or commit, of what is downloaded.
        **settings
            Arguments of the constructor, such as ``n_outputs`` and ``chs_info``. With any of them
            the model is made anew, with the loaded weights, and its head where that fits.
            Channels and length are not saved, and are given here again.

        Returns
        -------
        Module
            The model, in float32, on the CPU and in evaluation mode.

        Raises
        ------
        ValueError, OSError
            As :func:`~mne_neurorvq.load_pretrained`; also if the model is of another class.
        """
        model: Self = resolve_name(f"{_HUB}:load_model")(cls, pretrained, revision, settings)
        return model

    def save_pretrained(self, directory: str | PathLike[str], **settings: Any) -> Path:
        """Save the model as a folder: weights and a head over the mean, not channels and length.

        Parameters
        ----------
        directory : str | path-like
            Folder, made if absent.
        **settings
            ``card`` (by default none is written) and ``dtype`` of
            :func:`~mne_neurorvq.weights.save_pretrained`.

        Returns
        -------
        Path
            The folder.
        """
        folder: Path = resolve_name(f"{_HUB}:save_model")(self, directory, settings)
        return folder

    def push_to_hub(self, repo_id: str, **settings: Any) -> str:
        """Save the model in a repository of the Hugging Face Hub.

        Parameters
        ----------
        repo_id : str
            Repository, ``"owner/name"``, made if absent.
        **settings
            ``card``, ``licence``, ``private``, ``token`` and what else
            :func:`~mne_neurorvq.weights.push_to_hub` takes.

        Returns
        -------
        str
            Address of the commit.
        """
        address: str = resolve_name(f"{_HUB}:push_model")(self, repo_id, settings)
        return address
