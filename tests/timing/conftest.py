# License: BSD-3-Clause
"""Collect the test modules only; the scripts beside them are run by hand."""

from pathlib import Path

collect_ignore = [
    path.name for path in Path(__file__).parent.glob("*.py") if not path.name.startswith("test_")
]
