"""Pieces to a topic, at their pace."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass

from streamzarr.errors import ConfigError
from streamzarr.feeds.produce.pace import Pace
from streamzarr.feeds.produce.piece import Piece
from streamzarr.queue.base import Broker, NewRecord, Producer
from streamzarr.runtime import Runtime

MAX_WAIT = 0.1
"""Seconds for which nobody is heard while the next record is not due."""
FLUSH_EVERY = 100_000
"""Records after which all must be durable before more are sent."""


@dataclass(frozen=True, slots=True)
class Produced:
    """What was sent so far."""

    records: int = 0
    bytes: int = 0
    seconds: float = 0.0


def produce(
    broker: Broker,
    topic: str,
    pieces: Iterable[Piece],
    *,
    count: int | None = None,
    speed: float | None = None,
) -> Generator[Produced, None, None]:
    """Send records to a topic; yield what was sent after each piece, and each 0.1 s while none is due.

    When it is over, or closed before, everything sent is durable. The thread that iterates blocks on the
    broker.

    Parameters
    ----------
    broker, topic
        Where to; the topic exists.
    pieces
        Records in their order.
    count
        Of records at most.
    speed
        How many times as fast as the records' times say; None: as fast as the broker takes them.

    Raises
    ------
    streamzarr.errors.QueueError
        The broker refuses, or is away for longer than a flush waits.
    streamzarr.errors.ConfigError
        There is a speed, and records have no times.

    Examples
    --------
    >>> from streamzarr.testing.broker_fake import FakeBroker
    >>> broker = FakeBroker()
    >>> broker.create_topic("ticks")
    >>> *_, done = produce(broker, "ticks", [Piece([b"1", b"2", b"3"], None, None)], count=2)
    >>> done.records, done.bytes
    (2, 2)
    """
    if speed is not None and not speed > 0:
        raise ConfigError(f"speed is {speed}, expected more than 0")
    runtime = broker.runtime
    began = runtime.now()
    done, flushed = Produced(), 0
    with broker.producer() as producer:
        whole = _whole(pieces, count)
        for piece in whole if speed is None else _due(whole, Pace(speed), runtime):
            _send(producer, topic, piece)
            sent, nbytes = done.records + len(piece), done.bytes + sum(map(len, piece.values))
            done = Produced(sent, nbytes, runtime.now() - began)
            if sent - flushed >= FLUSH_EVERY:
                producer.flush()
                flushed = sent
            yield done
        producer.flush()
    yield Produced(done.records, done.bytes, runtime.now() - began)


def _send(producer: Producer, topic: str, piece: Piece) -> None:
    keys = piece.keys if piece.keys is not None else [None] * len(piece)
    times = [None] * len(piece) if piece.times is None else [max(0, time // 10**6) for time in piece.times]
    records = [
        NewRecord(value, key, timestamp=time)
        for value, key, time in zip(piece.values, keys, times, strict=True)
    ]
    if records:
        producer.send(topic, records)


def _whole(pieces: Iterable[Piece], count: int | None) -> Iterator[Piece]:
    """Yield pieces as they come, up to so many records."""
    left = count
    for piece in pieces:
        if left is not None:
            piece = piece.first(left)
            left -= len(piece)
        if len(piece):
            yield piece
        if left == 0:
            return


def _due(pieces: Iterable[Piece], pace: Pace, runtime: Runtime) -> Iterator[Piece]:
    """Yield what is due, and nothing of none while the next record is not."""
    pause = runtime.bell()
    started = False
    for piece in pieces:
        if piece.times is None:
            raise ConfigError("speed needs the times of records: name their column with --time")
        if not started:
            pace.start(piece.times[0], runtime.now())
            started = True
        at = 0
        while at < len(piece):
            ready = pace.due(piece.times[at:], runtime.now())
            yield piece.between(at, at + ready)
            at += ready
            if at < len(piece):
                pause.wait(min(MAX_WAIT, pace.wait(piece.times[at], runtime.now())))
