"""Several requests to one store under way at once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_parallel(action: Callable[[T], R], items: Sequence[T], at_once: int) -> list[R]:
    """Carry out `action` on each item, `at_once` at a time; an error stops the rest and is raised."""
    if len(items) < 2 or at_once < 2:
        return [action(item) for item in items]
    with ThreadPoolExecutor(min(at_once, len(items)), "streamzarr-store") as pool:
        futures = [pool.submit(action, item) for item in items]
        future: Future[R] | None = None
        try:
            results = []
            for future in futures:
                results.append(future.result())
            return results
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
        finally:
            del future, futures  # an error in one holds this frame, and all that the action works on


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the items in lists of `size`, and what is left; none is asked for before its list is.

    >>> list(batches(range(5), 2))
    [[0, 1], [2, 3], [4]]
    """
    source = iter(items)
    while batch := [*itertools.islice(source, size)]:
        yield batch
