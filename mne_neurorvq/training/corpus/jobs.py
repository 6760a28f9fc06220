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
from functools import partial
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

# Seconds after which a process is taken to hang, as on a file whose end no reader finds.
LIMIT = 2 * 3600.0


def ordered_results(
    function: Callable[[T], R], items: Iterable[T], n_jobs: int, limit: float = LIMIT
) -> Iterator[tuple[T, R | None]]:
    """Apply a function to items in processes, or with one job in this process.

    Yields the items in their order, with what the function returned: None if the process died while
    it worked on the item, or took more than ``limit`` seconds (with one job nothing ends it).
    """
    if n_jobs == 1:
        for item in items:
            yield item, function(item)
        return
    limited = partial(_limited, function, limit)
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
                        futures.append(pool.submit(limited, item))
                    if not started:
                        return
                    result = futures.popleft().result()
                    yield started.popleft(), result
        except BrokenProcessPool:
            pass
        # One of these ended its process: each gets a process of its own.
        for item in started:
            yield item, _alone(limited, item)


def _alone(function: Callable[[T], R], item: T) -> R | None:
    try:
        with _pool(1) as pool:
            return pool.submit(function, item).result()
    except BrokenProcessPool:
        return None


def _limited(function: Callable[[T], R], limit: float, item: T) -> R:
    """Apply a function in a process that ends if it takes too long."""
    timer = threading.Timer(limit, os._exit, (1,))
    timer.daemon = True
    timer.start()
    try:
        return function(item)
    finally:
        timer.cancel()


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
