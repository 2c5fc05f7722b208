"""Calls in flight: so many at once and no more, results in order or as they come, the first error ends.

Nothing here knows chunks: the streams of ``stream`` and ``map_chunks`` say what a call is and where it runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice, repeat
from typing import TypeVar, cast

T = TypeVar("T")
R = TypeVar("R")


def in_flight(
    submit: Callable[[T], Future[R]],
    items: Iterable[T],
    *,
    limit: int,
    ordered: bool = True,
    name: Callable[[T], str] | None = None,
) -> Generator[R]:
    """Yield the result of each item, of which at most `limit` are under way or wait to be taken.

    Items are drawn as results are taken, so there may be any number. A call that fails raises here, when its
    turn comes. Leaving the generator, by an error or early, cancels what has not begun and waits for what
    has: nothing runs on afterwards.

    Parameters
    ----------
    submit
        Starts the call for an item, elsewhere.
    ordered
        In the order of the items; else in the order in which calls end.
    name
        What the note to an error says of the item that it came from.

    Examples
    --------
    >>> with ThreadPoolExecutor(2) as pool:
    ...     list(in_flight(lambda n: pool.submit(pow, n, 2), range(5), limit=2))
    [0, 1, 4, 9, 16]
    """
    source = iter(items)
    running: deque[tuple[T, Future[R]]] = deque()
    try:
        running.extend((item, submit(item)) for item in islice(source, limit))
        while running:
            item, future = running.popleft() if ordered else _pop_finished(running)
            try:
                result = future.result()
            except BaseException as error:
                if name is not None:
                    error.add_note(name(item))
                raise
            running.extend((item, submit(item)) for item in islice(source, 1))
            yield result
    finally:
        for _, future in running:
            future.cancel()
        wait([future for _, future in running])


def _pop_finished(running: deque[tuple[T, Future[R]]]) -> tuple[T, Future[R]]:
    finished = wait([future for _, future in running], return_when=FIRST_COMPLETED).done
    place = next(place for place, (_, future) in enumerate(running) if future in finished)
    chosen = running[place]
    del running[place]
    return chosen


def ahead(results: Generator[T], count: int, thread_name: str) -> Generator[T]:
    """Yield what `results` yields, taken from it on a thread of its own, up to `count` results early.

    >>> list(ahead((letter for letter in "abc"), 2, "reader"))
    ['a', 'b', 'c']
    """
    end = object()
    try:
        with ThreadPoolExecutor(1, thread_name_prefix=thread_name) as reader:
            for result in in_flight(lambda _: reader.submit(next, results, end), repeat(None), limit=count):
                if result is end:
                    return
                yield cast(T, result)
    finally:
        results.close()


async def for_async(results: Generator[T]) -> AsyncGenerator[T]:
    """Yield what `results` yields without blocking the event loop: it runs on a thread of its own.

    When the loop is left early, or its task is cancelled, `results` is closed on that thread, and the thread
    ends before this does.
    """
    import asyncio  # only here: importing it is slow

    end = object()
    loop = asyncio.get_running_loop()
    pump = ThreadPoolExecutor(1, thread_name_prefix="streamzarr-stream")
    try:
        while (result := await loop.run_in_executor(pump, next, results, end)) is not end:
            yield cast(T, result)
    finally:
        try:
            await asyncio.shield(loop.run_in_executor(pump, results.close))
        finally:
            pump.shutdown(wait=False)
