# License: BSD-3-Clause
"""Files from the Hugging Face Hub, checked once and kept in its cache."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from threading import Thread

from .._warnings import warn
from .._writing import sha256_of
from .errors import DownloadError, HashError, NotOnHubError, OfflineError
from .manifest import MANIFEST_FILE, Folder
from .registry import Kind, Pretrained, WeightsFile, list_pretrained

#: How the names of models in repositories of the Hub begin that are not registered.
PREFIX = "hf://"

# Seconds for the first answer of the Hub; its client would try again and again for half a minute.
_PATIENCE = 2.0
# Models whose licence this process has already pointed out.
_warned: set[str] = set()


def fetch(entry: Pretrained, file: WeightsFile, revision: str | None) -> Path:
    """Get a file from the cache or, failing that, from the Hub.

    A cached file is taken without a look at the network, also when the branch has moved on. Its
    hash is compared once, right after the download; a file that fails is removed from the cache.
    """
    if not file.published:
        raise NotOnHubError(
            f"the weights of {entry.name!r} have been announced but not published: watch "
            f"{entry.url}. If you have a file that the authors' code wrote, give its path to "
            f"load_pretrained.{_without_download(entry)}"
        )
    if not file.on_hub:
        raise NotOnHubError(
            f"the weights of {entry.name!r} are not on the Hugging Face Hub: get {file.path} "
            f"yourself from {entry.url} (licence {entry.licence}) and give its path, "
            f"load_pretrained({file.path!r}).{_without_download(entry)}"
        )
    cached = _cached(file, revision)
    if cached is not None:
        return cached
    path = _download(entry, file, revision)
    if file.sha256 is not None and revision == entry.revision:
        _check_hash(path, file)
    if not entry.commercial and entry.name not in _warned:
        _warned.add(entry.name)
        warn(
            f"The weights of {entry.name!r} are licensed {entry.licence}: not for commercial use. "
            f"They are the work of {entry.citation}; see {entry.url}."
        )
    return path


def fetch_folder(name: str, revision: str | None, kinds: tuple[Kind, ...]) -> Path:
    """Get the folder of ``hf://owner/name`` that ``save_pretrained`` wrote, all of one commit.

    Of models only those of the given kinds are fetched.
    """
    repo = name.removeprefix(PREFIX)
    entry = Pretrained(name, "", kinds, "re-host", "", "", revision=revision)
    try:
        manifest = fetch(entry, WeightsFile(kinds[0], repo, MANIFEST_FILE), revision)
    except NotOnHubError as error:
        raise NotOnHubError(
            f"{name!r} cannot be loaded: {error} Repositories that push_to_hub or 'mne-neurorvq "
            "export' have made can."
        ) from error
    folder, commit = manifest.parent, manifest.parent.name
    entry = replace(entry, revision=commit)
    for file, digest in Folder.now(folder).digests.items():
        stem, _, ending = file.partition(".")
        of_other = stem in ("tokenizer", "foundation") and stem not in kinds
        if "/" not in file and not (of_other and ending == "safetensors"):
            fetch(entry, WeightsFile(kinds[0], repo, file, digest), commit)
    return folder


def availability(entry: Pretrained) -> str:
    """Say how to get a model on this machine: ready, download, by hand or not yet."""
    if not all(file.published for file in entry.files):
        return "not yet"
    if not all(file.on_hub for file in entry.files):
        return "by hand"
    cached = all(_cached(file, entry.revision) is not None for file in entry.files)
    return "ready" if cached else "download"


def _cached(file: WeightsFile, revision: str | None) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(file.repo, file.path, revision=revision)
    return Path(cached) if isinstance(cached, str) else None


def _download(entry: Pretrained, file: WeightsFile, revision: str | None) -> Path:
    from huggingface_hub import constants, errors, hf_hub_download

    def out_of_reach(reason: str) -> OfflineError:
        return OfflineError(
            f"{what} is not in the cache ({constants.HF_HUB_CACHE}) and {reason}. Load it once "
            "with network access, copy the cache from another machine, or give the path of a "
            f"local copy.{_without_download(entry)}"
        )

    what = f"{file.path} of {file.repo}" + (f" at revision {revision}" if revision else "")
    offline = constants.HF_HUB_OFFLINE or _is_true(os.environ.get("HF_HUB_OFFLINE", ""))
    if not offline and (silence := _silence(file, revision)) is not None:
        reason = f"{constants.ENDPOINT} is out of reach ({_first_line(silence)})"
        raise out_of_reach(reason) from silence
    try:
        return Path(
            hf_hub_download(file.repo, file.path, revision=revision, local_files_only=offline)
        )
    # The order matters: the first is also an EntryNotFoundError.
    except errors.LocalEntryNotFoundError as error:
        reason = (
            "HF_HUB_OFFLINE is set"
            if offline
            else f"{constants.ENDPOINT} is out of reach ({_first_line(error.__cause__ or error)})"
        )
        raise out_of_reach(reason) from error
    except errors.RevisionNotFoundError as error:
        raise NotOnHubError(
            f"{file.repo} has no revision {revision!r}: give a branch, tag or commit that is "
            f"listed at {constants.ENDPOINT}/{file.repo}/commits/main."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise NotOnHubError(
            f"there is no repository {file.repo} at {constants.ENDPOINT}, or it is closed to you "
            "(log in with 'hf auth login')."
        ) from error
    except errors.EntryNotFoundError as error:
        raise NotOnHubError(f"there is no file {what}.") from error
    # Which library carries the bytes, and with it the class of what goes wrong, has changed from
    # one version of the client to the next.
    except Exception as error:
        raise DownloadError(
            f"the download of {what} broke off: {_first_line(error)}. Try again; what has been "
            "received is kept."
        ) from error


def _silence(file: WeightsFile, revision: str | None) -> Exception | None:
    """Ask the Hub for a file, once and briefly; return why if it does not answer."""
    from huggingface_hub import constants, errors, get_hf_file_metadata, hf_hub_url

    own = "HF_HUB_ETAG_TIMEOUT" in os.environ
    patience = float(constants.HF_HUB_ETAG_TIMEOUT) if own else _PATIENCE
    found: list[Exception | None] = []

    def ask() -> None:
        try:
            get_hf_file_metadata(hf_hub_url(file.repo, file.path, revision=revision))
            found.append(None)
        except Exception as error:
            found.append(error)

    # In a thread: the search for the address of a host has no time limit of its own.
    asking = Thread(target=ask, daemon=True)
    asking.start()
    asking.join(patience)
    if not found:
        return TimeoutError(
            f"no answer within {patience:g} s; HF_HUB_ETAG_TIMEOUT sets how long to wait"
        )
    # An answer, if not the wanted one: the download itself says what it means.
    return None if isinstance(found[0], errors.HfHubHTTPError) else found[0]


def _without_download(entry: Pretrained) -> str:
    """Name the models in the package that could stand in, for a message."""
    alike = (entry.system, entry.modality)
    names = [
        e.name if e.seed is None else f"{e.name} (untrained)"
        for e in list_pretrained()
        if e.bundled and (e.system, e.modality) == alike
    ]
    return f" Without a download: {', '.join(names)}." if names else ""


def _is_true(value: str) -> bool:
    return value.upper() in ("1", "ON", "YES", "TRUE")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _check_hash(path: Path, file: WeightsFile) -> None:
    digest = sha256_of(path)
    if digest != file.sha256:
        # The entry in the cache is a link to the content: both must go.
        content_path = path.resolve()
        path.unlink()
        content_path.unlink(missing_ok=True)
        raise HashError(
            f"{file.path} of {file.repo} is not the registered file: its sha256 is "
            f"{digest}, not {file.sha256}. It has been removed from the cache; if it "
            "happens again, the file has been changed or damaged on the way."
        )
