"""Work on many chunks, shared out to a few long-lived threads (promise P9: none before they are needed).

Threads pull groups of chunks from one iterator; there is no future or task per chunk, because at 16 KiB the
fixed cost per chunk is everything. Codecs and file reads release the GIL. Small reads start no thread.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, TypeVar

from streamzarr.zarr.settings import config

T = TypeVar("T")

MIN_SHARED_BYTES = 512 * 1024
"""Less than this is done by the caller alone: waking a thread costs about as much."""
GROUP_BYTES = 2 << 20
"""What a thread does in one go: enough to make the cost of sharing small, and it still fits in a cache."""
LARGE_CHUNK_BYTES = 1 << 20
"""From here on one thread more than cores, so that reading and decoding overlap."""
LIGHT_CHUNK_BYTES = 64 * 1024
"""Chunks below this that cost little more than a copy are left to one thread: several would spend more on
waiting for the GIL, which each of them needs again after every call, than they save."""
MAX_THREADS = 64
"""Threads of the pool, at most, however many requests a store likes to have in flight."""

_pool: ThreadPoolExecutor | None = None
_pool_lock = threading.Lock()


class Shares(NamedTuple):
    """How work is divided: over how many threads, the caller's among them, and most chunks at a time."""

    threads: int
    run: int


ALONE = Shares(1, 1)


def cores() -> int:
    """Return how many CPUs one call may use: as ``config.threads`` says, or all that this process may."""
    if config.threads is not None:
        return config.threads
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def divide(count: int, nbytes: int, *, cpus: int, in_flight: int = 1, light: bool = False) -> Shares:
    """Decide how to work on `count` chunks of about `nbytes` bytes (0: unknown).

    Parameters
    ----------
    cpus
        Threads that can compute at a time.
    in_flight
        Requests that the store likes to have in flight; with more than one, threads wait rather than compute.
    light
        The work on a chunk costs little more than a copy.

    Examples
    --------
    >>> divide(4, 16 << 10, cpus=2), divide(16384, 16 << 10, cpus=2), divide(64, 4 << 20, cpus=2)
    (Shares(threads=1, run=4), Shares(threads=2, run=128), Shares(threads=3, run=1))
    >>> divide(100, 16 << 10, cpus=2, in_flight=16)
    Shares(threads=16, run=1)
    """
    if in_flight > 1:
        return Shares(max(1, min(in_flight, count, MAX_THREADS)), 1)
    run = max(1, min(count, GROUP_BYTES // nbytes)) if nbytes else 1
    alone = light and nbytes < LIGHT_CHUNK_BYTES
    if alone or count < 2 or cpus < 2 or count * nbytes < MIN_SHARED_BYTES:
        return Shares(1, run)
    threads = min(cpus + (nbytes >= LARGE_CHUNK_BYTES), count)
    return Shares(threads, max(1, min(run, count // (2 * threads))))


def _executor() -> ThreadPoolExecutor:
    global _pool
    with _pool_lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="streamzarr-chunk")
        return _pool


def _forget() -> None:
    global _pool, _pool_lock
    _pool, _pool_lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def for_each(action: Callable[[T], object], items: Iterable[T], threads: int) -> None:
    """Call `action` on each item, on `threads` threads (the calling one is one), and return when all is done.

    The first error stops the rest and is raised.
    """
    if threads < 2:
        for item in items:
            action(item)
        return
    source, turn, stop = iter(items), threading.Lock(), threading.Event()
    end, errors, helpers = object(), list[BaseException](), list[Future[None]]()

    def work() -> None:
        try:
            while not stop.is_set():
                with turn:
                    item = next(source, end)
                if item is end:
                    return
                action(item)  # type: ignore[arg-type]
        except BaseException as error:  # noqa: BLE001 - raised below
            stop.set()
            errors.append(error)

    try:
        for _ in range(threads - 1):
            helpers.append(Future())
            _executor().submit(_carry_out, helpers[-1], work)
        work()
    except BaseException as error:  # noqa: BLE001 - Ctrl-C, or no thread is to be had; raised below
        stop.set()
        errors.append(error)
    _await(helpers, stop)
    try:
        if errors:  # of several what ends the program
            raise next((each for each in errors if not isinstance(each, Exception)), errors[0])
    finally:
        errors.clear()  # they hold this frame, and so all that the action works on


def _carry_out(future: Future[None], action: Callable[[], None]) -> None:
    """Do it, unless it was cancelled: what is submitted is done also where submitting itself has failed."""
    if future.set_running_or_notify_cancel():
        action()
        future.set_result(None)


def _await(helpers: Sequence[Future[None]], stop: threading.Event) -> None:
    """Wait for helpers to end; one that has not begun is not waited for.

    So a call from within the pool cannot deadlock. After Ctrl-C they stop, and are waited for: what they do
    must not go on behind whoever is told that it has failed. The second Ctrl-C is raised at once.
    """
    begun = [helper for helper in helpers if not helper.cancel()]
    try:
        for helper in begun:
            helper.result()
    except KeyboardInterrupt:
        stop.set()
        for helper in begun:
            helper.result()
        raise


def hand_over(action: Callable[[T], object], items: Iterable[T], threads: int) -> None:
    """Call `action` on each item, on other threads; the items are all made on the calling one.

    With one thread it does both by itself. No more than `threads` items are there at a time, and one error
    stops the rest and is raised when what is under way has ended.
    """
    if threads < 2:
        for item in items:
            action(item)
            del item  # while the next one is made
        return
    pool, room, errors = _executor(), threading.Semaphore(threads - 1), list[BaseException]()

    def act(item: T) -> None:
        try:
            action(item)
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)
        finally:
            room.release()

    try:
        for item in items:
            room.acquire()
            if errors:
                room.release()
                break
            future = Future[None]()
            try:
                pool.submit(_carry_out, future, partial(act, item))
            except RuntimeError:  # no thread is to be had, or the interpreter ends
                if future.cancel():  # nobody else makes room
                    room.release()
                raise
            del item
    finally:
        for _ in range(threads - 1):
            room.acquire()
    try:
        if errors:
            raise errors[0]
    finally:
        errors.clear()  # they hold this frame, and so all that the action works on
