# License: BSD-3-Clause
"""Work in several processes, some of which die."""

from __future__ import annotations

import importlib
import sys
import textwrap
import time

import pytest

from mne_neurorvq.training.corpus.jobs import ordered_results


@pytest.fixture
def work(tmp_path, monkeypatch):
    """Function of a module that other processes can import; that of a test they cannot."""
    code = """
        import os, signal, time

        def work(number):
            if number < 0:
                time.sleep(0.4)
                os.kill(os.getpid(), signal.SIGKILL)
            # The first ones take longest.
            time.sleep(0.02 * (5 - number % 5))
            return 10 * number
        """
    (tmp_path / "work_of_a_test.py").write_text(textwrap.dedent(code))
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    monkeypatch.delitem(sys.modules, "work_of_a_test", raising=False)
    return importlib.import_module("work_of_a_test").work


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_results_come_in_the_order_of_the_items(work, n_jobs):
    assert list(ordered_results(work, range(7), n_jobs)) == [(i, 10 * i) for i in range(7)]


def test_items_are_not_taken_before_there_is_room_for_them(work):
    taken = []
    results = ordered_results(work, (taken.append(i) or i for i in range(50)), 2)
    next(results)
    assert len(taken) <= 5
    results.close()


def test_an_item_that_kills_its_process_costs_only_itself(work):
    items = [0, 1, -2, 3, 4, 5, -6, 7]
    expected = [(i, None if i < 0 else 10 * i) for i in items]
    assert list(ordered_results(work, items, 2)) == expected


def test_no_item_is_lost_when_a_process_dies_between_two_results(work):
    items = [0, -1, 2, 3, 4, 5, 6, 7]
    results = ordered_results(work, items, 2)
    found = [next(results)]
    # Who takes the results is slow: the pool is broken when it gets its next item.
    time.sleep(1.5)
    found += results
    assert found == [(i, None if i < 0 else 10 * i) for i in items]


def test_an_item_that_hangs_costs_only_itself(tmp_path, monkeypatch):
    code = """
        import time

        def work(number):
            time.sleep(600 if number == 2 else 0)
            return number
        """
    (tmp_path / "hanging_work_of_a_test.py").write_text(textwrap.dedent(code))
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    work = importlib.import_module("hanging_work_of_a_test").work
    start = time.monotonic()
    found = list(ordered_results(work, range(5), 2, limit=2.0))
    assert found == [(i, None if i == 2 else i) for i in range(5)]
    assert time.monotonic() - start < 120
