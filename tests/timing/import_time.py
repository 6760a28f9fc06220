# License: BSD-3-Clause
"""Seconds until the package and its command are there, beyond the bare interpreter.

    python tests/timing/import_time.py [--json FILE] [--repeats 9]

Every call is a process of its own; bare interpreter, import and command take turns, in alternating
order after a warm-up that compiles and reads every file once.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import sysconfig
import tempfile
from functools import partial
from pathlib import Path

from machine import facts, median_seconds, report

_COMMANDS = {
    "bare interpreter": [sys.executable, "-P", "-c", "pass"],
    "import mne_neurorvq": [sys.executable, "-P", "-c", "import mne_neurorvq"],
    "mne-neurorvq --help": [str(Path(sysconfig.get_path("scripts")) / "mne-neurorvq"), "--help"],
}
_AIMS = {"import mne_neurorvq": 0.3, "mne-neurorvq --help": 1.0}


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    parser.add_argument("--repeats", type=int, default=9, help="timed rounds")
    args = parser.parse_args()
    machine = facts(threads=1)
    with tempfile.TemporaryDirectory() as cache:
        # Compiled files as an installed package has them, whatever this shell says.
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        calls = {
            name: partial(
                subprocess.run, command, check=True, env=environment, stdout=subprocess.DEVNULL
            )
            for name, command in _COMMANDS.items()
        }
        seconds = median_seconds(calls, args.repeats, warm_up=1)
    bare = seconds["bare interpreter"]
    starts = {
        name: {"seconds": taken, "beyond_interpreter": taken - bare, "aim": _AIMS.get(name)}
        for name, taken in seconds.items()
    }
    table = [("process", "s", "beyond interpreter", "aim")]
    for name, row in starts.items():
        aim = "" if row["aim"] is None else f"< {row['aim']}"
        table.append((name, f"{row['seconds']:.3f}", f"{row['beyond_interpreter']:.3f}", aim))
    print(f"median of {args.repeats} processes")
    report({"machine": machine, "starts": starts}, table, args.json)


if __name__ == "__main__":
    main()
