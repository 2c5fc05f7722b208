"""Items of an async iterable for a thread that is not its event loop's: as many as are asked for."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Callable
from typing import Any

from streamzarr.errors import ConfigError, StreamzarrError
from streamzarr.flow.demand.credits import Room
from streamzarr.runtime import Runtime

CLOSE_TIMEOUT = 30.0
"""Seconds that an async generator may take to end when it is closed."""


class AsyncFeed:
    """Asks an async iterable for items, never for more than :meth:`ask` has allowed.

    Parameters
    ----------
    items
        Advanced and closed on the event loop, by one task.
    size_of
        Bytes that an item counts for.
    loop
        Somebody's running event loop, on another thread; ``None``: one of our own, on a thread of its own.
    ring
        Called on the loop's thread when something has arrived.

    Notes
    -----
    Threads: the owner calls all methods, on its own thread, and only :meth:`open` and :meth:`close` may
    block. The fields before ``_loop`` are written by the loop's thread alone, those after it by the owner
    alone; each reads the other's, which at worst are a moment old: too little is then asked for, never too
    much.
    """

    def __init__(
        self,
        items: AsyncIterable[Any],
        size_of: Callable[[Any], int],
        loop: asyncio.AbstractEventLoop | None,
        runtime: Runtime,
        ring: Callable[[], None],
    ) -> None:
        self._items, self._size_of, self._runtime, self._ring = items, size_of, runtime, ring
        self._arrived: deque[tuple[Any, int]] = deque()
        self._got = self._got_bytes = 0
        self._error: BaseException | None = None
        self._task: asyncio.Task[Any] | None = None
        self._ended = runtime.event()
        self._given_loop = loop
        self._loop: asyncio.AbstractEventLoop | None = None  # once the task is started
        self._more = asyncio.Event()
        self._closing = False
        self._taken = self._taken_bytes = 0
        self._allowed = 0
        self._allowed_bytes: int | None = None

    # -- on the owner's thread ---------------------------------------------------------------------------

    def open(self) -> None:
        """Start the task that will ask.

        Raises
        ------
        streamzarr.errors.ConfigError
            The caller is on the event loop itself, which could not run while the caller waits for it.
        """
        if self._given_loop is None:
            self._loop = asyncio.new_event_loop()
            self._runtime.thread(self._run_loop, "streamzarr-async").start()
            return
        if self._given_loop is _running_loop():
            raise ConfigError(
                "a chain over an async iterable cannot run on that iterable's event loop: "
                "use flow.aiter, or run it on another thread (asyncio.to_thread)"
            )
        self._loop = self._given_loop
        asyncio.run_coroutine_threadsafe(self._run(), self._loop)

    def ask(self, room: Room) -> None:
        """Allow as many more items as there is room for; items that were not taken yet count as well."""
        self._allowed = self._taken + room.messages
        self._allowed_bytes = None if room.nbytes is None else self._taken_bytes + room.nbytes
        if self._wanted and not self._ended.is_set():
            self._tell(self._more.set)

    def take(self, count: int) -> list[tuple[Any, int]] | None:
        """Return up to `count` items that have arrived, each with its bytes; ``None``: all have been taken.

        Raises
        ------
        Exception
            What the iterable raised, behind what it had given before.
        """
        ended = self._ended.is_set()  # looked at first: what arrives after that is not behind the end
        taken = [self._arrived.popleft() for _ in range(min(count, len(self._arrived)))]
        self._taken += len(taken)
        self._taken_bytes += sum(nbytes for _, nbytes in taken)
        if taken:
            return taken
        if not ended:
            if self._loop is not None and self._loop.is_closed() and not self._ended.is_set():
                raise _gone()
            return []
        self._raise()
        return None

    def close(self) -> int:
        """Cancel what is awaited, close the iterable if it can be, and wait for that.

        Returns
        -------
        int
            Items that have arrived and were not taken.

        Raises
        ------
        streamzarr.errors.StreamzarrError
            It did not end within `CLOSE_TIMEOUT`.
        """
        self._closing = True
        if self._loop is not None and not self._ended.is_set():
            self._tell(self._cancel)
            if not self._ended.wait(CLOSE_TIMEOUT):
                raise StreamzarrError(
                    f"an async iterable did not end within {CLOSE_TIMEOUT:g} s of being closed"
                )
        self._raise()
        return len(self._arrived)

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _tell(self, call: Callable[[], object]) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:
            if not self._ended.is_set():
                raise _gone() from None

    # -- on the loop's thread ----------------------------------------------------------------------------

    def _run_loop(self) -> None:
        loop = self._loop
        assert loop is not None
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(self._run())

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        self._task = asyncio.current_task()
        try:
            await self._serve()
        except asyncio.CancelledError:
            if not self._closing:
                self._error = StreamzarrError("an async iterable was cancelled from outside, or by itself")
        except BaseException as error:  # noqa: BLE001 - raised on the owner's thread
            self._error = error
        finally:
            self._ended.set()
            self._ring()

    async def _serve(self) -> None:
        iterator = aiter(self._items)
        try:
            while not self._closing:
                if not self._wanted:
                    self._more.clear()
                    if not self._wanted:  # nothing was allowed before the flag was lowered
                        await self._more.wait()
                    continue
                try:
                    item = await anext(iterator)
                except StopAsyncIteration:
                    return
                nbytes = self._size_of(item)
                self._arrived.append((item, nbytes))
                self._got += 1
                self._got_bytes += nbytes
                self._ring()
        finally:
            close = getattr(iterator, "aclose", None)
            if close is not None:
                await close()

    @property
    def _wanted(self) -> bool:
        """True when another item may be asked for."""
        limit = self._allowed_bytes
        return self._got < self._allowed and (limit is None or self._got_bytes < limit)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _gone() -> StreamzarrError:
    return StreamzarrError("the event loop of an async iterable was closed before the iterable ended")
