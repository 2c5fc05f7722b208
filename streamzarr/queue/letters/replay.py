"""Sending the originals of letters again, each once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from streamzarr.errors import ConfigError, MessageError, TopicNotFoundError
from streamzarr.queue.base import Broker, NewRecord
from streamzarr.queue.closing import Closing
from streamzarr.queue.deadletter import DeadLetter, Entry, LetterId
from streamzarr.queue.letters.index import LetterIndex
from streamzarr.queue.letters.marker import marker
from streamzarr.queue.scan import scan_kept

_BATCH: Final = 500
"""Letters that are replayed together, and so many bytes of them unless a single one has more."""
_BATCH_BYTES: Final = 4 << 20
_LONGEST_WAIT: Final = 3600.0
"""Seconds, at a time: the system counts no further than some centuries."""
_BEATS: Final = 10
"""At a rate, batches a second: what comes in one is never more than a tenth of a second's."""


@dataclass(frozen=True, slots=True)
class Pace:
    """When what is sent at a rate is due, as pure arithmetic.

    Examples
    --------
    >>> pace = Pace(rate=100.0, start=5.0)
    >>> pace.due(0), pace.due(50), pace.batch
    (5.0, 5.5, 10)
    """

    rate: float
    """Messages a second."""
    start: float
    """When the first one is due, seconds."""

    def __post_init__(self) -> None:
        rate: object = self.rate
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 < rate < math.inf:
            raise ConfigError(f"rate={self.rate!r}, expected messages a second, a number more than 0")

    def due(self, sent: int) -> float:
        """Return when the next one is due, after so many."""
        return self.start + sent / self.rate

    @property
    def batch(self) -> int:
        """How many to send together, so that none is sent long before it is due."""
        return max(1, min(_BATCH, int(self.rate / _BEATS)))


class Replay(Closing):
    """The one replay of a dead-letter topic that is under way. Owned by one thread.

    A newer one, in whatever process, ends it: :meth:`send` raises ``FencedError`` then, and what it had not
    sent is the newer one's to send.

    Parameters
    ----------
    topic
        The dead-letter topic. It is read once, to know what is open.
    to
        Topic to send to; where each message came from when absent.
    rate
        Messages a second at most.

    Raises
    ------
    streamzarr.errors.ConfigError
        The rate is not above 0, or `to` is the topic of the letters itself.
    streamzarr.errors.TopicNotFoundError
        There is no such topic.
    """

    def __init__(
        self, broker: Broker, topic: str, *, to: str | None = None, rate: float | None = None
    ) -> None:
        if to == topic:
            raise ConfigError(f"letters of {topic!r} cannot be replayed into {to!r} itself")
        self._broker, self._topic, self._to = broker, topic, to
        self._partitions = {} if to is None else {to: broker.describe(to).partitions}
        self._pace = None if rate is None else Pace(rate, broker.runtime.now())
        self._sent = 0
        # First the writer, then the index: what an older replay has closed is read, and no more will come.
        self._writer = broker.atomic_writer(f"streamzarr.replay.{topic}")
        try:
            self._index = LetterIndex(scan_kept(broker, topic))
        except BaseException:
            self._writer.close()
            raise

    def send(self, letters: Iterable[Entry]) -> int:
        """Send those of `letters` that were open when this replay began, and close them; return how many.

        Each batch is durable, original and marker together, before the next one is taken.

        Raises
        ------
        streamzarr.errors.MessageError
            One of them is no letter, or about a letter of this very topic: it can only be dropped.
        streamzarr.errors.FencedError
            A newer replay has taken over.
        streamzarr.errors.QueueError
            The broker refused some; those stay open.
        """
        before = self._sent
        most = _BATCH if self._pace is None else self._pace.batch
        batch: dict[LetterId, tuple[str, NewRecord]] = {}
        size = 0
        try:
            for id_, letter in letters:
                if id_ in self._index and id_ not in batch:
                    batch[id_] = self._again(id_, letter)
                    size += len(letter.value or b"")
                    if len(batch) >= most or size >= _BATCH_BYTES:
                        full, batch, size = batch, {}, 0
                        self._write(full)
        except (MessageError, TopicNotFoundError):
            self._write(batch)  # those before the one that cannot be sent
            raise
        self._write(batch)
        return self._sent - before

    def _write(self, batch: Mapping[LetterId, tuple[str, NewRecord]]) -> None:
        if not batch:
            return
        runtime = self._broker.runtime
        while self._pace is not None and (wait := self._pace.due(self._sent) - runtime.now()) > 0:
            runtime.event().wait(min(wait, _LONGEST_WAIT))
        records = [
            record
            for id_, again in batch.items()
            for record in (again, (self._topic, marker(id_, "replayed")))
        ]
        try:
            self._writer.write(records)
        except MessageError:
            if len(batch) == 1:
                raise
            for id_, again in batch.items():  # up to the one that cannot be sent
                self._write({id_: again})
        else:
            self._index.close_letters(batch)
            self._sent += len(batch)

    def _again(self, id_: LetterId, letter: DeadLetter) -> tuple[str, NewRecord]:
        """Return what is sent for a letter, and where."""
        if letter.topic == self._topic:
            where = f"{self._topic}[{id_.partition}] offset {id_.offset}"
            raise MessageError(f"{where} cannot be replayed, only dropped: {letter.message}")
        if letter.is_cut:
            raise MessageError(
                f"{self._topic}[{id_.partition}] offset {id_.offset} has only the beginning of its message, "
                f"and can only be dropped; the whole is at {letter.topic}[{letter.partition}] offset "
                f"{letter.offset}"
            )
        topic = self._to or letter.topic
        if topic not in self._partitions:
            self._partitions[topic] = self._broker.describe(topic).partitions
        # Its own partition keeps it among its like, unless the topic was made again with fewer.
        stays = topic == letter.topic and letter.partition < self._partitions[topic]
        return topic, letter.again(partition=letter.partition if stays else None)

    def close(self) -> None:
        """Release what is held. Idempotent."""
        self._index.close()
        self._writer.close()
