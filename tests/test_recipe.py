# License: BSD-3-Clause
"""What other tools read of the project says what the package says."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

import mne_neurorvq

ROOT = Path(__file__).resolve().parents[1]
# Names of conda-forge that differ from those of the Python index.
CONDA = {"lazy_loader": "lazy-loader", "mne": "mne-base", "torch": "pytorch"}


@pytest.fixture(scope="module")
def recipe():
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load((ROOT / ".conda" / "recipe.yaml").read_text("utf-8"))


def test_the_recipe_asks_for_what_the_package_asks_for(recipe):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = {f"python {project['requires-python']}"}
    for requirement in project["dependencies"]:
        name, sign, version = requirement.partition(">=")
        wanted.add(f"{CONDA.get(name, name)} {sign}{version}")
    assert set(recipe["requirements"]["run"]) == wanted


def test_the_recipe_is_of_this_version(recipe):
    assert recipe["context"]["version"] == mne_neurorvq.__version__
    assert recipe["about"]["license"] == "BSD-3-Clause"


def test_the_templates_and_the_workflow_are_yaml():
    yaml = pytest.importorskip("yaml")
    files = [*ROOT.glob(".github/**/*.yml"), ROOT / "CITATION.cff"]
    assert len(files) == 5
    assert all(yaml.safe_load(file.read_text("utf-8")) for file in files)
