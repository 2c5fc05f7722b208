"""Work on many chunks, shared out to a few long-lived threads (promise P9: none before they are needed).

Threads pull groups of chunks from one iterator; there is no future or task per chunk, because at 16 KiB the
fixed cost per chunk is everything. Codecs and file reads release the GIL. Small reads start no thread.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
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
            pool = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="streamzarr-chunk")
            # Ctrl-C while its first thread starts would leave one that nobody ends, and exit waits for it.
            starter = threading.Thread(target=pool.submit, args=(int,))
            starter.start()
            starter.join()
            _pool = pool
        return _pool


def _forget() -> None:
    global _pool, _pool_lock
    _pool, _pool_lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


class AbandonedInterrupt(KeyboardInterrupt):
    """The second Ctrl-C: what was under way was not waited for, and goes on behind whoever hears of it."""


class _Error(NamedTuple):
    """What went wrong with an item, by its number, or (-1) with sharing out."""

    number: int
    error: BaseException


class _Share:
    """What another thread is asked to do. Each method may be called on any thread."""

    __slots__ = ("_claimed", "_ended")

    def __init__(self) -> None:
        self._claimed, self._ended = threading.Lock(), threading.Lock()
        self._ended.acquire()

    def carry_out(self, action: Callable[[], None]) -> None:
        """Do it, unless it was called off: what is submitted is done also where submitting has failed."""
        if self._claimed.acquire(blocking=False):
            try:
                action()
            finally:
                self._ended.release()

    @property
    def has_ended(self) -> bool:
        """Whether it was done, or called off."""
        return not self._ended.locked()

    def wait(self) -> None:
        """Wait until it has ended."""
        with self._ended:
            pass

    def call_off(self) -> None:
        """Have it not begin, or wait until it has ended."""
        if self._claimed.acquire(blocking=False):
            self._ended.release()
        self.wait()


def for_each(action: Callable[[T], object], items: Iterable[T], threads: int) -> None:
    """Call `action` on each item, on `threads` threads (the calling one is one), and return when all is done.

    The first error stops the rest and is raised when what is under way has ended; so does Ctrl-C.
    """
    if threads < 2:
        for item in items:
            action(item)
        return
    source, turn, stop = iter(items), threading.Lock(), threading.Event()
    end, errors, helpers, numbers = object(), list[_Error](), list[_Share](), itertools.count()

    def work() -> None:
        number = 0
        try:
            while not stop.is_set():
                with turn:
                    number = next(numbers)
                    item = next(source, end)
                if item is end:
                    return
                action(item)  # type: ignore[arg-type]
        except BaseException as error:  # noqa: BLE001 - raised below
            stop.set()
            errors.append(_Error(number, error))

    try:
        pool = _executor()
        for _ in range(min(threads, MAX_THREADS) - 1):
            helpers.append(_Share())
            pool.submit(helpers[-1].carry_out, work)
        work()
    except BaseException as error:  # noqa: BLE001 - Ctrl-C, or no thread is to be had; raised below
        stop.set()
        errors.append(_Error(-1, error))
    # A helper that has not begun is not waited for, so a call from within the pool cannot deadlock.
    _end(helpers, _Share.call_off, stop, errors)


def _end(
    shares: Sequence[_Share],
    finish: Callable[[_Share], None],
    stop: threading.Event,
    errors: list[_Error],
) -> None:
    """Have all shares end, then raise what went wrong with the first item that failed.

    After Ctrl-C they stop, and are waited for: what they do must not go on behind whoever is told that it has
    failed. The second is raised at once, as :class:`AbandonedInterrupt`.
    """
    try:
        while True:
            try:
                for share in shares:
                    finish(share)
                break
            except KeyboardInterrupt as error:
                stop.set()
                if any(isinstance(each.error, KeyboardInterrupt) for each in errors):
                    raise AbandonedInterrupt from error
                errors.append(_Error(-1, error))
                finish = _Share.call_off
        if errors:  # before all what ends the program
            raise min(errors, key=lambda each: (isinstance(each.error, Exception), each.number)).error
    finally:
        errors.clear()  # they hold the frames of all that the action works on


def hand_over(action: Callable[[T], object], items: Iterable[T], threads: int) -> None:
    """Call `action` on each item, on other threads; the items are all made on the calling one.

    With one thread it does both by itself. No more than `threads` items are there at a time, and one error
    stops the rest and is raised when what is under way has ended; so does Ctrl-C.
    """
    if threads < 2:
        for item in items:
            action(item)
            del item  # while the next one is made
        return
    room, stop = threading.Semaphore(threads - 1), threading.Event()
    errors, shares = list[_Error](), list[_Share]()

    def act(number: int, item: T) -> None:
        try:
            if not stop.is_set():
                action(item)
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(_Error(number, error))
        finally:
            room.release()

    try:
        pool = _executor()
        for number, item in enumerate(items):
            room.acquire()
            if errors:
                break
            shares = [share for share in shares if not share.has_ended]
            shares.append(_Share())
            try:
                pool.submit(shares[-1].carry_out, partial(act, number, item))
            except BaseException:  # Ctrl-C, no thread is to be had, or the interpreter ends
                shares[-1].call_off()
                raise
            del item
    except BaseException as error:  # noqa: BLE001 - raised below
        errors.append(_Error(-1, error))
    is_interrupted = any(not isinstance(each.error, Exception) for each in errors)
    _end(shares, _Share.call_off if is_interrupted else _Share.wait, stop, errors)
