# License: BSD-3-Clause
"""A library that is absent or broken is one sentence, and costs only what needs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mne_neurorvq._optional import optional

UNDEFINED = "libtorchaudio.so: undefined symbol: torch_list_push_back"
FAILURES = {
    "OSError": f"raise OSError({UNDEFINED!r})",
    "RuntimeError": "raise RuntimeError('operator torchvision::nms does not exist')",
    "AttributeError": "import math; math.no_such_name",
    "ValueError": "raise ValueError('numpy.dtype size changed')",
    "ImportError": "from math import no_such_name",
    "ModuleNotFoundError": "import no_such_module",
}


@pytest.fixture
def library(tmp_path, monkeypatch):
    """Write a library and put it on the path."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(text, name="camera_obscura"):
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)

    return write


def _said(extra="lora", otherwise=""):
    with pytest.raises(ImportError) as caught, optional("a portrait", extra, otherwise):
        import camera_obscura  # noqa: F401
    return str(caught.value)


def test_an_absent_library_is_named_with_a_command_that_needs_no_index_of_ours():
    said = _said(otherwise="use words")
    assert said.startswith("a portrait needs camera_obscura, which is not installed: python -m pip")
    assert re.search(r' install "peft[^"]*".*, or use words\.$', said)


@pytest.mark.parametrize("failure", FAILURES)
def test_a_broken_library_is_named_with_the_versions_and_a_command(failure, library):
    library(FAILURES[failure])
    said = _said()
    assert said.startswith("a portrait needs camera_obscura, which is installed but cannot be")
    assert f"({failure}: " in said
    assert re.search(r"Found: torch \d", said)
    assert re.search(r'python -m pip install --upgrade .*"peft', said)
    assert "\n" not in said


def test_the_library_at_the_bottom_of_it_is_mended_too(library):
    library("import torchaudio")
    library(FAILURES["OSError"], "torchaudio")
    said = _said()
    assert said.startswith("a portrait needs camera_obscura, which is installed but")
    assert re.search(r'--upgrade .*"?torchaudio', said)


def test_what_is_wrong_with_this_package_is_not_blamed_on_others():
    with pytest.raises(ImportError, match="no_such_name"), optional("a portrait", "lora"):
        from mne_neurorvq.signals import no_such_name  # noqa: F401
    with pytest.raises(ModuleNotFoundError, match=r"^No module named"), optional("it", "lora"):
        import mne_neurorvq.no_such_module  # noqa: F401


def test_pretraining_without_lightning_names_it():
    code = "import sys; sys.modules['lightning'] = None; from mne_neurorvq.training import *"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: pretraining needs lightning, which is not installed")


def test_a_broken_library_skips_the_tests_that_need_it_and_no_others(tmp_path):
    (tmp_path / "torchaudio.py").write_text(FAILURES["OSError"])
    (tmp_path / "braindecode.py").write_text("import torchaudio")
    folder = Path(__file__).parent
    paths = [str(folder / name) for name in ("signals/test_windows.py", "signals/test_sites.py")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rs", "--co", *paths],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        cwd=folder.parent,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0
    assert "test_sites.py::" in done.stdout
    assert "test_windows.py::" not in done.stdout
    assert re.search(r"SKIPPED.*braindecode, which is installed but cannot", done.stdout)
