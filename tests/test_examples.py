# License: BSD-3-Clause
"""What holds for all scripts of the gallery; the build of the documentation runs them."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").rglob("plot_*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_takes_real_data_by_one_variable(path):
    """Simulated recordings are the default, and `real = None` is what there is to change."""
    assigned = [node for node in ast.parse(path.read_text("utf-8")).body if _names(node) == "real"]
    (switch,) = assigned
    assert isinstance(switch.value, ast.Constant)
    assert switch.value.value is None


def _names(node):
    target = node.targets[0] if isinstance(node, ast.Assign) else None
    return target.id if isinstance(target, ast.Name) else None


def test_the_gallery_has_every_example_at_its_place():
    """An example that the order does not name stops the build."""
    text = (ROOT / "doc" / "conf.py").read_text("utf-8")
    order = ast.literal_eval(re.search(r"_EXAMPLES = (\{.*?\n\})", text, re.DOTALL)[1])
    places = {(path.parent.name, path.stem.removeprefix("plot_")) for path in EXAMPLES}
    assert places <= {(folder, name) for folder, names in order.items() for name in names}
