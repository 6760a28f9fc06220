# License: BSD-3-Clause
"""Messages for optional libraries that are missing or broken."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from traceback import walk_tb

_DISTRIBUTION = "mne-neurorvq"
_OURS = "mne_neurorvq"
# Not what is imported, but how.
_MACHINERY = {*sys.stdlib_module_names, "__main__", "lazy_loader", "", _OURS}


@contextmanager
def optional(purpose: str, extra: str, otherwise: str = "") -> Iterator[None]:
    """Say in one sentence what is wrong with a library that is imported inside.

    >>> with optional("a portrait", "benchmark", "use words"):
    ...     import camera_obscura
    Traceback (most recent call last):
    ImportError: a portrait needs camera_obscura, which is not installed: python -m pip install
    "..., or use words.
    """
    try:
        yield
    except Warning:  # which the user has made an error; the library is not broken
        raise
    # What does not fit together breaks in any way: a symbol that a binary lacks is an OSError, an
    # operator that is registered twice a RuntimeError, a name that has moved an AttributeError.
    except Exception as error:
        # The outermost frames are this one and that of the import.
        frames = [frame for frame, _ in walk_tb(error.__traceback__)][2:]
        modules = [_library(frame.f_globals.get("__name__", "")) for frame in frames]
        passed = [module for module in modules if module not in _MACHINERY]
        named = (isinstance(error, ImportError) and error.name) or ""
        if not passed and _library(named) in _MACHINERY:
            raise
        library = passed[0] if passed else _library(named)
        end = f", or {otherwise}." if otherwise else "."
        if isinstance(error, ModuleNotFoundError) and named == library:
            raise ImportError(
                f"{purpose} needs {library}, which is not installed: "
                f"{_install(_requirements(extra))}{end}"
            ) from error
        involved = dict.fromkeys([library, *passed[-1:], "torch", "torchaudio"])
        found = {name: version for name in involved if (version := _version(name))}
        raise ImportError(
            f"{purpose} needs {library}, which is installed but cannot be imported "
            f"({_one_line(error)}). Found: "
            f"{', '.join(f'{name} {version}' for name, version in found.items())}. Install "
            f"versions that go together: {_install(_mended(extra, found), '--upgrade')}{end}"
        ) from error


def _library(module: str) -> str:
    return module.partition(".")[0]


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


def _version(library: str) -> str | None:
    try:
        return metadata.version(_distribution(library))
    except metadata.PackageNotFoundError:
        return None


def _distribution(library: str) -> str:
    return metadata.packages_distributions().get(library, [library])[0]


def _requirements(extra: str) -> dict[str, str]:
    """List what an extra asks for, by distribution."""
    try:
        lines = metadata.requires(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:  # the folder of a checkout, put on the path
        lines = []
    asked = {}
    for line in lines:
        requirement, _, marker = line.partition(";")
        if marker.split("==")[-1].strip(" \"'") == extra:
            name = requirement.strip()
            for sign in "<>=!~[ ":
                name = name.partition(sign)[0]
            asked[name] = requirement.strip()
    return asked or {extra: f".[{extra}]"}


def _mended(extra: str, found: dict[str, str]) -> dict[str, str]:
    """List what an extra asks for and what else takes part in its failure."""
    together = _requirements("all")
    names = [_distribution(library) for library in found]
    return {name: together.get(name, name) for name in names} | _requirements(extra)


def _install(requirements: dict[str, str], *options: str) -> str:
    # Not by the name of the extra: that is right only where an index has this package.
    quoted = (f'"{requirement}"' for requirement in requirements.values())
    return " ".join(["python -m pip install", *options, *quoted])
