"""What running pipelines tell of themselves: events by name, for whoever has attached.

::

    streamzarr.pipeline.init                           a pipeline begins
    streamzarr.pipeline.processor.*                    a worker has a bunch of messages
    streamzarr.pipeline.processor.message.*            handle_message has one of them
    streamzarr.pipeline.batcher.*                      messages come to a batcher
    streamzarr.pipeline.batch_processor.*              handle_batch has a batch, or a part of one
    streamzarr.pipeline.handle_failed.*                handle_failed has failed messages
    streamzarr.pipeline.ack.*                          an acknowledger is told
    streamzarr.pipeline.rebalance                      partitions were assigned, revoked or lost
    streamzarr.pipeline.partition.paused               one pauses by itself, and why
    streamzarr.pipeline.partition.resumed              it goes on

``*`` is ``start``, then ``stop`` or ``exception``. Nobody pays for events that nobody has attached to.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

from streamzarr.errors import ConfigError, describe, is_interrupt
from streamzarr.flow.arguments import function, shown
from streamzarr.runtime import SYSTEM, Runtime

_log = logging.getLogger(__name__)

SpanName: TypeAlias = Literal[
    "streamzarr.pipeline.processor",
    "streamzarr.pipeline.processor.message",
    "streamzarr.pipeline.batcher",
    "streamzarr.pipeline.batch_processor",
    "streamzarr.pipeline.handle_failed",
    "streamzarr.pipeline.ack",
]
"""What has a beginning and an end: each has three events."""

EventName: TypeAlias = Literal[
    "streamzarr.pipeline.init",
    "streamzarr.pipeline.processor.start",
    "streamzarr.pipeline.processor.stop",
    "streamzarr.pipeline.processor.exception",
    "streamzarr.pipeline.processor.message.start",
    "streamzarr.pipeline.processor.message.stop",
    "streamzarr.pipeline.processor.message.exception",
    "streamzarr.pipeline.batcher.start",
    "streamzarr.pipeline.batcher.stop",
    "streamzarr.pipeline.batcher.exception",
    "streamzarr.pipeline.batch_processor.start",
    "streamzarr.pipeline.batch_processor.stop",
    "streamzarr.pipeline.batch_processor.exception",
    "streamzarr.pipeline.handle_failed.start",
    "streamzarr.pipeline.handle_failed.stop",
    "streamzarr.pipeline.handle_failed.exception",
    "streamzarr.pipeline.ack.start",
    "streamzarr.pipeline.ack.stop",
    "streamzarr.pipeline.ack.exception",
    "streamzarr.pipeline.rebalance",
    "streamzarr.pipeline.partition.paused",
    "streamzarr.pipeline.partition.resumed",
]
EVENTS: Final[tuple[EventName, ...]] = get_args(EventName)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has happened in a pipeline."""

    name: EventName
    measurements: Mapping[str, float]
    """Of ``stop`` and ``exception``: `duration`, seconds. Of ``start``: `count`, messages."""
    metadata: Mapping[str, Any]
    """`pipeline`, its name, and what the event is about: `messages`, `batcher`, `info`, `error`, `paused`."""


Listener: TypeAlias = Callable[[Event], None]

_UNHEARD: Final = nullcontext()
_changing = SYSTEM.lock()
_attached: dict[str, tuple[tuple[EventName, ...], Listener]] = {}
_by_name: dict[
    str, tuple[tuple[str, Listener], ...]
] = {}  # replaced as a whole, so that reading needs no lock


def attach(id: str, events: Sequence[EventName], listener: Listener) -> None:  # noqa: A002
    """Have `listener` called with these events of all pipelines of this process.

    Parameters
    ----------
    id
        Whoever attaches under the same one takes the place of the former.
    events
        Names out of :data:`EVENTS`.
    listener
        Called where it happens, mostly on a worker's thread, so it is quick. One that raises is detached.

    Raises
    ------
    streamzarr.errors.ConfigError
        There is no such event.

    Examples
    --------
    >>> from streamzarr import flow
    >>> from streamzarr.pipeline import Pipeline, telemetry
    >>> durations = []
    >>> def note(event):
    ...     durations.append(event.measurements["duration"])
    >>> telemetry.attach("notes", ["streamzarr.pipeline.processor.message.stop"], note)
    >>> Pipeline.run(source=lambda demand: flow.from_iterable(range(3), demand)).ok, len(durations)
    (3, 3)
    >>> telemetry.detach("notes")
    """
    unknown = [name for name in events if name not in EVENTS]
    if isinstance(events, str) or unknown:
        raise ConfigError(f"telemetry.attach: events is {shown(events)}, expected names out of EVENTS")
    if (expected := function(listener)) is not None:
        raise ConfigError(f"telemetry.attach: listener is {shown(listener)}, expected {expected}")
    with _changing:
        _attached[id] = (tuple(events), listener)
        _index()


def detach(id: str) -> None:  # noqa: A002
    """Undo :meth:`attach`; nothing happens when nobody has attached under `id`."""
    with _changing:
        _attached.pop(id, None)
        _index()


def _index() -> None:
    global _by_name
    found: dict[str, tuple[tuple[str, Listener], ...]] = {}
    for id_, (events, listener) in _attached.items():
        for name in events:
            found[name] = (*found.get(name, ()), (id_, listener))
    _by_name = found


def emit(name: EventName, measurements: Mapping[str, float], metadata: Mapping[str, Any]) -> None:
    """Tell who has attached to `name`."""
    for id_, listener in _by_name.get(name, ()):
        try:
            listener(Event(name, measurements, metadata))
        except BaseException as error:  # a listener is foreign code, and no message depends on it
            if is_interrupt(error):
                raise
            _log.error("telemetry listener %r is detached: it raised %s", id_, describe(error))
            detach(id_)


class Teller:
    """Emits the events of one pipeline. Thread-safe; nothing blocks but listeners."""

    def __init__(self, pipeline: str, runtime: Runtime) -> None:
        self._pipeline, self._now = pipeline, runtime.now

    def tell(self, name: EventName, **metadata: Any) -> None:
        """Emit an event without duration."""
        if name in _by_name:
            emit(name, {}, {"pipeline": self._pipeline, **metadata})

    def span(self, name: SpanName, count: int, **metadata: Any) -> AbstractContextManager[None]:
        """Emit the events of what happens inside, to `count` messages."""
        return self._span(name, count, metadata) if _by_name else _UNHEARD

    @contextmanager
    def _span(self, name: SpanName, count: int, metadata: Mapping[str, Any]) -> Iterator[None]:
        about = {"pipeline": self._pipeline, **metadata}
        emit(f"{name}.start", {"count": count}, about)  # type: ignore[arg-type]  # each span has three
        begun = self._now()
        try:
            yield
        except BaseException as error:
            took = {"duration": self._now() - begun, "count": count}
            emit(f"{name}.exception", took, {**about, "error": error})  # type: ignore[arg-type]
            raise
        emit(f"{name}.stop", {"duration": self._now() - begun, "count": count}, about)  # type: ignore[arg-type]
