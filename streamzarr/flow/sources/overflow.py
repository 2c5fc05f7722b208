"""What becomes of what a hot observable emits while the chain has no room for it. Never: it is lost.

A hot observable emits when it likes and from the thread it likes. What comes is kept in memory, up to a
number of items; beyond that whoever made the buffer has chosen what happens::

    Blocking   the thread that emits waits
    Spilling   on disk, up to a number of bytes
    Refusing   the chain ends, with an error that says so
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Any

from streamzarr.errors import BufferFullError, ConfigError
from streamzarr.flow.arguments import checked, function, integer, location, nbytes, optional, runtime
from streamzarr.flow.spool import Spool
from streamzarr.queue.closing import Closing
from streamzarr.runtime import SYSTEM, Runtime


@checked("Overflow", size=integer(1), runtime=runtime)
class Overflow(ABC):
    """A buffer between the threads of an observable and the one of a chain.

    It belongs to whoever made it and outlives a run: what was emitted and not delivered when a chain ended is
    still there, and is the first thing that the next run over it delivers.

    Notes
    -----
    Threads: any thread may call any method. None blocks but :meth:`Blocking.put`, and what goes to disk.
    """

    def __init__(self, size: int, runtime: Runtime) -> None:
        self.size = size
        self._changed = runtime.condition()
        self._items: deque[Any] = deque()
        self._open = True

    @property
    def buffered(self) -> int:
        """Items emitted and not delivered."""
        return len(self._items)

    @abstractmethod
    def put(self, item: Any, *, wait: bool = True) -> None:
        """Keep `item` behind the others; ``wait=False`` on a thread that may not be made to wait for room.

        Raises
        ------
        streamzarr.errors.BufferFullError
            It cannot be kept.
        """

    def take(self, count: int) -> list[Any]:
        """Return up to `count` of the oldest items, which are the chain's now."""
        with self._changed:
            taken = [self._items.popleft() for _ in range(min(count, len(self._items)))]
            self._changed.notify_all()
            return taken

    def open(self) -> None:
        """Begin: a chain takes from here, or will."""
        with self._changed:
            self._open = True

    def stop(self) -> None:
        """End: no chain takes from here any more; threads that wait are let go, what they brought is kept."""
        with self._changed:
            self._open = False
            self._changed.notify_all()


@checked("Blocking", size=integer(1), runtime=runtime)
class Blocking(Overflow):
    """Keeps `size` items; then the thread that emits waits until the chain has taken some.

    For observables that are fed by a thread of their own, which may stand still: a socket, a file, a queue.

    Parameters
    ----------
    size
        Items kept, at most; when a chain stops, also those of the threads that wait at that moment.

    Examples
    --------
    >>> Blocking(1000).buffered
    0
    """

    def __init__(self, size: int, *, runtime: Runtime = SYSTEM) -> None:
        super().__init__(size, runtime)

    def put(self, item: Any, *, wait: bool = True) -> None:
        """Keep `item`; blocks while there is no room and a chain has not ended."""
        with self._changed:
            if not wait and len(self._items) >= self.size:
                raise BufferFullError(
                    f"the buffer of a hot observable is full: it keeps {self.size} items, and the thread "
                    "that emits is the chain's own, which would wait for itself"
                )
            self._changed.wait_for(lambda: len(self._items) < self.size or not self._open)
            self._items.append(item)


@checked("Refusing", size=integer(1), runtime=runtime)
class Refusing(Overflow):
    """Keeps `size` items; the next one ends the chain with a :class:`~streamzarr.errors.BufferFullError`.

    For observables that must not wait and whose chain is expected to keep up.

    Examples
    --------
    >>> buffer = Refusing(1)
    >>> buffer.put("a")
    >>> buffer.put("b")
    Traceback (most recent call last):
    streamzarr.errors.BufferFullError: the buffer of a hot observable is full: it keeps 1 items, and ...
    """

    def __init__(self, size: int, *, runtime: Runtime = SYSTEM) -> None:
        super().__init__(size, runtime)

    def put(self, item: Any, *, wait: bool = True) -> None:
        """Keep `item`, if there is room."""
        with self._changed:
            if len(self._items) >= self.size:
                raise BufferFullError(
                    f"the buffer of a hot observable is full: it keeps {self.size} items, and the chain "
                    "takes them more slowly than they are emitted"
                )
            self._items.append(item)


@checked(
    "Spilling",
    size=integer(1),
    max_bytes=nbytes,
    directory=optional(location),
    encode=optional(function),
    decode=optional(function),
    runtime=runtime,
)
class Spilling(Overflow, Closing):
    """Keeps `size` items in memory and those that come after them on disk, in order.

    For observables that must not wait and come in bursts. What does not fit on disk either ends the chain
    with a :class:`~streamzarr.errors.BufferFullError`.

    Parameters
    ----------
    size
        Items in memory, at most.
    max_bytes
        Bytes on disk, at most: a number or such as ``"1GB"``.
    directory
        Where, in files without names; the system's directory for temporary files when absent.
    encode, decode
        Turn an item into bytes and back. Without them items must be bytes.

    Examples
    --------
    >>> with Spilling(1, "1MB") as buffer:
    ...     for item in (b"one", b"two", b"three"):
    ...         buffer.put(item)
    ...     buffer.buffered, buffer.spilled, buffer.take(2), buffer.take(9)
    (3, 2, [b'one', b'two'], [b'three'])
    """

    def __init__(
        self,
        size: int,
        max_bytes: int | str,
        *,
        directory: str | None = None,
        encode: Callable[[Any], bytes] | None = None,
        decode: Callable[[bytes], Any] | None = None,
        runtime: Runtime = SYSTEM,
    ) -> None:
        super().__init__(size, runtime)
        self._spool = Spool(max_bytes, directory=directory)
        self._encode, self._decode = encode or _only_bytes, decode or _only_bytes

    def close(self) -> None:
        """Remove what is on disk."""
        with self._changed:
            self._spool.close()

    @property
    def buffered(self) -> int:
        """Items emitted and not delivered, in memory and on disk."""
        with self._changed:
            return len(self._items) + self._spool.count()

    @property
    def spilled(self) -> int:
        """Items on disk."""
        with self._changed:
            return self._spool.count()

    def put(self, item: Any, *, wait: bool = True) -> None:
        """Keep `item` in memory, or on disk behind what is there already; blocks for the disk only."""
        with self._changed:
            if len(self._items) < self.size and not self._spool.count():
                self._items.append(item)
                return
            data = self._encode(item)
            if not self._spool.append(data):
                raise BufferFullError(
                    f"the spool of a hot observable is full: {self._spool.nbytes} bytes of at most "
                    f"{self._spool.max_bytes} are on disk, and {len(data)} more do not fit"
                )

    def take(self, count: int) -> list[Any]:
        """Return up to `count` of the oldest items; blocks for the disk only."""
        taken = super().take(count)
        with self._changed:
            try:
                while len(taken) < count and (data := self._spool.take()) is not None:
                    taken.append(self._decode(data))
            except BaseException:
                self._items.extendleft(reversed(taken))  # all but the one that cannot be read are still there
                raise
        return taken


def _only_bytes(item: Any) -> Any:
    if not isinstance(item, bytes):
        raise ConfigError(
            f"Spilling without encode= keeps bytes, but the observable emitted {type(item).__name__}"
        )
    return item
