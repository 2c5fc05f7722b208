"""A pool of threads for large chunks, made on first need and forgotten after a fork (promise P9).

Codecs and file reads release the GIL, so threads pay for chunks of about 256 KiB and up; below that a plain
loop is faster, and starts no thread.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

MIN_CHUNK_BYTES = 256 * 1024
"""Chunks smaller than this are handled in a plain loop."""

_pool: ThreadPoolExecutor | None = None
_pool_lock = threading.Lock()


def cores() -> int:
    """Return how many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _executor() -> ThreadPoolExecutor:
    global _pool
    with _pool_lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(max(cores(), 2), thread_name_prefix="streamzarr-chunk")
        return _pool


def _forget() -> None:
    global _pool, _pool_lock
    _pool, _pool_lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def for_each(action: Callable[[T], object], items: Iterable[T], *, count: int, nbytes: int) -> None:
    """Call `action` on each of `count` items of about `nbytes` bytes, on the pool's threads where that pays.

    The calling thread works, too, and returns when all is done. The first error stops the rest and is raised.
    """
    helpers = min(cores() + (nbytes >= 1 << 20), count) - 1 if nbytes >= MIN_CHUNK_BYTES else 0
    if helpers < 1 or cores() == 1:
        for item in items:
            action(item)
        return
    source, turn, stop = iter(items), threading.Lock(), threading.Event()
    end = object()

    def work() -> None:
        try:
            while not stop.is_set():
                with turn:
                    item = next(source, end)
                if item is end:
                    return
                action(item)  # type: ignore[arg-type]
        except BaseException:
            stop.set()
            raise

    pool = _executor()
    futures = [pool.submit(work) for _ in range(helpers)]
    try:
        work()
    finally:
        # A helper that has not begun is not waited for, so a call from within the pool cannot deadlock.
        errors = [future.exception() for future in futures if not future.cancel()]
    for error in errors:
        if error is not None:
            raise error
