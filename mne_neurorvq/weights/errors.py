# License: BSD-3-Clause
"""What can go wrong between a name and a loaded model; each has its own class."""

from __future__ import annotations

from collections.abc import Sequence

# A checkpoint has hundreds of tensors: a message lists only the first of each kind.
_LISTED = 10


class CheckpointError(ValueError):
    """A file cannot be loaded as a model.

    Examples
    --------
    >>> from mne_neurorvq.weights import CheckpointError, HashError
    >>> issubclass(HashError, CheckpointError), issubclass(CheckpointError, ValueError)
    (True, True)
    """


class NotACheckpointError(CheckpointError):
    """A file holds no model weights, or those of another kind of model.

    Examples
    --------
    >>> from mne_neurorvq.weights import NotACheckpointError
    >>> raise NotACheckpointError("notes.txt is not a checkpoint")
    Traceback (most recent call last):
    ...
    mne_neurorvq.weights.errors.NotACheckpointError: notes.txt is not a checkpoint
    """


class TruncatedError(CheckpointError):
    """A file ends before its tensors do.

    Examples
    --------
    >>> from mne_neurorvq.weights import TruncatedError
    >>> raise TruncatedError("tokenizer.pt is truncated")
    Traceback (most recent call last):
    ...
    mne_neurorvq.weights.errors.TruncatedError: tokenizer.pt is truncated
    """


class HashError(CheckpointError):
    """A downloaded file is not the one that the registry names.

    Examples
    --------
    >>> from mne_neurorvq.weights import HashError
    >>> raise HashError("tokenizer.pt has another sha256")
    Traceback (most recent call last):
    ...
    mne_neurorvq.weights.errors.HashError: tokenizer.pt has another sha256
    """


class MismatchError(CheckpointError):
    """The tensors of a file are not those of the model.

    Parameters
    ----------
    source : str
        The file.
    missing, unknown : sequence of str
        Tensors that the model needs and the file lacks, and the reverse.
    wrong_shape, wrong_type : sequence of str
        Tensors of another shape or type, each with both.

    Examples
    --------
    >>> from mne_neurorvq.weights import MismatchError
    >>> raise MismatchError("model.pt", missing=["cls_token"])
    Traceback (most recent call last):
    ...
    mne_neurorvq.weights.errors.MismatchError: model.pt does not fit the model.
      1 missing tensor: cls_token
    """

    def __init__(
        self,
        source: str,
        missing: Sequence[str] = (),
        unknown: Sequence[str] = (),
        wrong_shape: Sequence[str] = (),
        wrong_type: Sequence[str] = (),
    ) -> None:
        self.missing, self.unknown = tuple(missing), tuple(unknown)
        self.wrong_shape, self.wrong_type = tuple(wrong_shape), tuple(wrong_type)
        lines = [
            _listed(what, names)
            for what, names in (
                ("missing tensor", self.missing),
                ("unknown tensor", self.unknown),
                ("tensor of another shape", self.wrong_shape),
                ("tensor of another type", self.wrong_type),
            )
            if names
        ]
        super().__init__("\n  ".join([f"{source} does not fit the model.", *lines]))


class DownloadError(OSError):
    """A file cannot be had from the Hugging Face Hub.

    Examples
    --------
    >>> from mne_neurorvq.weights import DownloadError, OfflineError
    >>> issubclass(OfflineError, DownloadError), issubclass(DownloadError, OSError)
    (True, True)
    """


class OfflineError(DownloadError):
    """A file is not in the cache and the network is off or out of reach.

    Examples
    --------
    >>> from mne_neurorvq.weights import OfflineError
    >>> raise OfflineError("tokenizer.pt is not in the cache")
    Traceback (most recent call last):
    ...
    mne_neurorvq.weights.errors.OfflineError: tokenizer.pt is not in the cache
    """


class NotOnHubError(DownloadError):
    """The repository, file or revision does not exist or is not open to the user.

    Examples
    --------
    >>> from mne_neurorvq.weights import NotOnHubError
    >>> raise NotOnHubError("no revision 'v9'")
    Traceback (most recent call last):
    ...
    mne_neurorvq.weights.errors.NotOnHubError: no revision 'v9'
    """


def first_few(names: Sequence[str]) -> str:
    """List the first names and count the rest."""
    more = f", and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{', '.join(names[:_LISTED])}{more}"


def _listed(what: str, names: Sequence[str]) -> str:
    plural = what if len(names) == 1 else what.replace("tensor", "tensors", 1)
    return f"{len(names)} {plural}: {first_few(names)}"
