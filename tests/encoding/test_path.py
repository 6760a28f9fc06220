# License: BSD-3-Clause
"""How much code a trial passes on its way through ``transform``."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path

import mne_neurorvq
from mne_neurorvq import NeuroRVQTransformer

ROOT = Path(mne_neurorvq.__file__).parent
# It passes 48 functions in 14 files, and 54 where its output is read from a folder; before there
# was an engine it passed 142. The aim is 45.
MOST_FUNCTIONS, MOST_FILES = 48, 14
MOST_FUNCTIONS_IF_KEPT = 54


def passed(work: Callable[[], object]) -> dict[str, list[str]]:
    """Functions of the package that are called, in any thread, by file; no comprehensions."""
    found: dict[str, list[str]] = {}

    def note(frame, event, argument):
        code = frame.f_code
        path = Path(code.co_filename)
        if event == "call" and not code.co_name.startswith("<") and path.is_relative_to(ROOT):
            names = found.setdefault(str(path.relative_to(ROOT)), [])
            if code.co_qualname not in names:
                names.append(code.co_qualname)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return found


def count(found: dict[str, list[str]]) -> int:
    for file, names in found.items():
        print(f"{file}: {', '.join(names)}")
    n_functions = sum(map(len, found.values()))
    print(f"{n_functions} functions in {len(found)} files")
    return n_functions


def test_a_trial_passes_few_functions(make_epochs):
    epochs = make_epochs(n_trials=3)
    transformer = NeuroRVQTransformer("neurorvq-eeg-tiny-random", memory=None).fit(epochs)
    transformer.transform(epochs[1])  # imports
    found = passed(lambda: transformer.transform(epochs[0]))
    assert count(found) <= MOST_FUNCTIONS
    assert len(found) <= MOST_FILES


def test_a_trial_that_is_kept_passes_fewer(make_epochs, tmp_path):
    epochs = make_epochs(n_trials=3)
    transformer = NeuroRVQTransformer("neurorvq-eeg-tiny-random", memory=str(tmp_path))
    transformer.fit_transform(epochs)
    found = passed(lambda: transformer.transform(epochs[0]))
    assert count(found) <= MOST_FUNCTIONS_IF_KEPT
    assert not any(file.startswith("models/trunk") for file in found)
