"""Reading the results of a chain in a loop, with demand that comes from the reader."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import suppress
from typing import Any

from reactivex import Observable

from streamzarr.flow.arguments import checked
from streamzarr.flow.control import Control
from streamzarr.flow.drive import drive, driving, turns
from streamzarr.flow.message import Message
from streamzarr.flow.reading import Reading, read_from
from streamzarr.flow.running import STEERING, Running, RunReport
from streamzarr.flow.stop import Stop
from streamzarr.runtime import SYSTEM, Runtime

LEAVE = 30.0
"""Seconds for work that has begun when a reader leaves."""


@checked("iter", **STEERING)
def iter(  # noqa: A001 - what it is
    observable: Observable[Any],
    *,
    stop: Stop | None = None,
    control: Control | None = None,
    runtime: Runtime = SYSTEM,
    drain: float = LEAVE,
) -> Generator[Message, None, RunReport]:
    """Run a chain and yield the messages that come out of it, failed ones (``message.failure``) included.

    The chain is driven by the reader's own thread, inside ``next``: while the reader does something else
    nothing is pulled. Demand bounds how far the chain is ahead of the reader.

    Where nothing in the chain settles messages (no ``ops.settle``) the reader does: what it has taken is
    settled when it asks for the next one, and not before. Leaving the loop (``break``, an exception,
    ``close``) hands back what is not settled, the message in hand included, and releases everything; what
    is at work elsewhere may end within `drain` seconds. An iterator that is left with an exception lives as
    long as the exception's traceback, unless ``contextlib.closing`` closes it.

    Parameters
    ----------
    stop
        Ends the iteration from elsewhere; what has not come out is handed back.
    control
        Pauses and flushes it from elsewhere.
    runtime
        Clocks, threads and chance for everything in the chain.
    drain
        Seconds for work that has begun when the reader leaves.

    Returns
    -------
    RunReport
        The value of ``yield from``.

    Raises
    ------
    Exception
        Whatever broke the chain, as of :func:`~streamzarr.flow.run`.

    Notes
    -----
    A reader that is slower than a broker's session timeout loses its partitions: :func:`aiter` and
    :func:`~streamzarr.flow.run` keep them.

    Examples
    --------
    >>> from streamzarr import flow
    >>> demand = flow.Demand(10)
    >>> for message in flow.iter(flow.from_iterable(range(1000), demand)):
    ...     if message.data == 3:
    ...         break
    >>> demand.in_flight
    0
    """
    reading: list[Reading] = []
    running = Running(read_from(observable, reading, lambda: None), stop, control, runtime)
    with running:
        steps = turns(running.graph)
        over = False
        try:
            while not over:
                over = not _step(steps)
                for stage in reading:
                    while (message := stage.next()) is not None:
                        yield message
                        stage.done(message)
        finally:
            if not over:
                for stage in reading:
                    stage.leave()
                running.stop.drain(drain)
                while _step(steps):
                    pass
            report = running.report()
    return report


@checked("aiter", **STEERING)
async def aiter(  # noqa: A001 - what it is
    observable: Observable[Any],
    *,
    stop: Stop | None = None,
    control: Control | None = None,
    runtime: Runtime = SYSTEM,
    drain: float = LEAVE,
) -> AsyncGenerator[Message]:
    """Run a chain on a thread of its own and yield the messages that come out of it, for ``async for``.

    As :func:`iter`, but the chain goes on while the reader does something else, as far as demand allows. Of
    a chain that settles by itself up to a thousand results wait for the reader.

    Leaving the loop early ends the chain when the generator is closed: at once with
    ``contextlib.aclosing``, else when the event loop finds it. The same goes for a task that is cancelled
    while it waits here: nothing is lost by it.

    Parameters
    ----------
    stop, control, runtime, drain
        As those of :func:`iter`.

    Raises
    ------
    Exception
        Whatever broke the chain, as of :func:`~streamzarr.flow.run`.

    Examples
    --------
    >>> import asyncio
    >>> from contextlib import aclosing
    >>> from streamzarr import flow
    >>> async def first(count):
    ...     found = []
    ...     async with aclosing(flow.aiter(flow.from_iterable(range(1000), flow.Demand(10)))) as messages:
    ...         async for message in messages:
    ...             found.append(message.data)
    ...             if len(found) == count:
    ...                 return found
    >>> asyncio.run(first(3))
    [0, 1, 2]
    """
    loop = asyncio.get_running_loop()
    arrived = asyncio.Event()
    reading: list[Reading] = []

    def notify() -> None:
        loop.call_soon_threadsafe(arrived.set)

    running = Running(read_from(observable, reading, notify), stop, control, runtime)
    ending = runtime.event()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            with running:
                drive(running.graph)
        except BaseException as error:  # noqa: BLE001 - raised where the results are read
            failures.append(error)
        finally:
            ending.set()
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                notify()

    runtime.thread(work, "streamzarr-results").start()
    over = False
    try:
        while not over:
            arrived.clear()
            over = ending.is_set()  # looked at first: what comes out after that has been seen
            for stage in reading:
                while (message := stage.next()) is not None:
                    yield message
                    stage.done(message)
            if not over:
                await arrived.wait()
    finally:
        if not over:
            for stage in reading:
                stage.leave()
            running.stop.drain(drain)
        while not ending.is_set():
            arrived.clear()
            if not ending.is_set():
                await arrived.wait()
        if failures:
            raise failures[0]
        running.report()


def _step(steps: Iterator[None]) -> bool:
    """Let a chain have its next turn; tell whether there was one."""
    with driving():
        return next(steps, _OVER) is not _OVER


_OVER = object()
