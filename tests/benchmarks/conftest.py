# License: BSD-3-Clause
"""The files here are scripts to run by hand: timings are no tests."""

collect_ignore_glob = ["*.py"]
