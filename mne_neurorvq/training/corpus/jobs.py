# License: BSD-3-Clause
"""The same work on many things in several processes: in order, and whatever happens to one."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def ordered_results(
    function: Callable[[T], R], items: Iterable[T], n_jobs: int
) -> Iterator[tuple[T, R | None]]:
    """Apply a function to items in processes.

    Parameters
    ----------
    function : callable
        What to do; it and its results must be picklable.
    items : iterable
        What to do it to.
    n_jobs : int
        Processes; 1 works in this one.

    Yields
    ------
    item : object
        The items in their order.
    result : object | None
        What the function returned; None if the process died while it worked on the item.
    """
    if n_jobs == 1:
        for item in items:
            yield item, function(item)
        return
    waiting = iter(items)
    while True:
        started: deque[T] = deque()
        futures: deque[Future[R]] = deque()
        try:
            with _pool(n_jobs) as pool:
                while True:
                    # No more at once than keeps everybody busy: results are held until their turn.
                    for item in islice(waiting, 2 * n_jobs - len(started)):
                        # First: a pool that has broken meanwhile refuses it, and it must be kept.
                        started.append(item)
                        futures.append(pool.submit(function, item))
                    if not started:
                        return
                    result = futures.popleft().result()
                    yield started.popleft(), result
        except BrokenProcessPool:
            pass
        for item in started:
            yield item, _alone(function, item)


def _alone(function: Callable[[T], R], item: T) -> R | None:
    """One of these items killed its process: each gets a process of its own."""
    try:
        with _pool(1) as pool:
            return pool.submit(function, item).result()
    except BrokenProcessPool:
        return None


def _pool(n_jobs: int) -> ProcessPoolExecutor:
    # A fork of a process that has used threads, as torch and Zarr do, may hang.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(n_jobs, mp_context=context, initializer=_end_with_parent)


def _end_with_parent() -> None:
    """Let no worker outlive a parent that was killed: it would wait for work forever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
