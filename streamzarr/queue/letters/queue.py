"""The letters of one topic, for people and programs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import Final

from streamzarr.errors import OffsetOutOfRangeError, QueueError
from streamzarr.queue.base import Broker, NewRecord, Reader, Record
from streamzarr.queue.deadletter import DeadLetter, Entry, LetterId
from streamzarr.queue.letters.filter import ANY_LETTER, LetterFilter
from streamzarr.queue.letters.index import LetterIndex, read_letters
from streamzarr.queue.letters.marker import closes, entry_of, marker
from streamzarr.queue.letters.purged import Purging, is_notice
from streamzarr.queue.letters.replay import Replay
from streamzarr.queue.scan import scan_kept

_BATCH: Final = 500
_READ_TIMEOUT: Final = 10.0
"""Seconds to wait for one letter."""


class DeadLetterQueue:
    """The letters of one dead-letter topic. Threads: as the broker.

    Reading takes memory for one batch of records, however many letters there are.

    Examples
    --------
    >>> import tempfile
    >>> from streamzarr.queue import Record, open_broker
    >>> folder = tempfile.TemporaryDirectory()
    >>> broker = open_broker(f"sqlite:///{folder.name}/queue.db")
    >>> broker.create_topic("ticks"), broker.create_topic("ticks.dead")
    (None, None)
    >>> record = Record("ticks", 0, 41, None, b"not a price", (), 0)
    >>> letter = DeadLetter.of(record, error=ValueError("no price"), stage="decode")
    >>> with broker.producer() as producer:
    ...     producer.send("ticks.dead", [letter.to_record()])
    >>> queue = DeadLetterQueue(broker, "ticks.dead")
    >>> [(id_.offset, letter.message) for id_, letter in queue.read()]
    [(0, 'no price')]
    >>> queue.replay(queue.read(LetterFilter(error="ValueError"))), queue.ls()
    (1, [])
    >>> queue.purge(), broker.describe("ticks.dead").begin
    (2, {0: 2})
    >>> broker.close(); folder.cleanup()
    """

    def __init__(self, broker: Broker, topic: str) -> None:
        self._broker = broker
        self._topic = topic

    def read(self, which: LetterFilter = ANY_LETTER, *, any_record: bool = True) -> Iterator[Entry]:
        """Yield the letters that were open when reading began, in the order of partitions and offsets.

        The topic is read twice: once to know what is open, then up to the last open letter.

        Parameters
        ----------
        any_record
            A record that is no letter counts as one about itself; else nothing is read where there are such.

        Raises
        ------
        streamzarr.errors.ConfigError
            The topic has records that are no letters, and `any_record` is not said.
        streamzarr.errors.TopicNotFoundError
            There is no such topic.
        """
        end = self._broker.describe(self._topic).end
        now = self._broker.runtime.wall_ns() // 1_000_000
        with closing(LetterIndex(scan_kept(self._broker, self._topic, end=end))) as index:
            if not any_record:
                index.require_letters()
            for id_, letter in read_letters(self._broker, self._topic, index, end):
                if which.takes(letter, now, id_):
                    yield id_, letter

    def ls(self, predicate: Callable[[DeadLetter], bool] | None = None) -> list[Entry]:
        """Return all of :meth:`read`, or those of a predicate, as a list: for few letters."""
        return [entry for entry in self.read() if predicate is None or predicate(entry[1])]

    def get(self, id_: LetterId | tuple[int, int]) -> DeadLetter:
        """Return one letter, whether open or not; raises ``QueueError`` when there is none."""
        partition, offset = id_
        info = self._broker.describe(self._topic)
        if info.begin.get(partition, 0) <= offset < info.end.get(partition, 0):
            with self._broker.reader(self._topic, {**info.end, partition: offset}) as reader:
                for record in _first(reader):
                    here = (record.partition, record.offset) == (partition, offset)
                    if here and closes(record) is None and not is_notice(record):
                        return entry_of(record)[1]
        raise QueueError(f"{self._broker}: {self._topic}[{partition}] has no letter at offset {offset}")

    def replay(self, letters: Iterable[Entry], *, to: str | None = None, rate: float | None = None) -> int:
        """Send the originals again, mark them as replayed, and return how many.

        An original and its marker are written together: killed at any moment and begun again, a replay sends
        each once. Letters that are not open any more are passed over.

        Parameters
        ----------
        to
            Topic to send to; where each message came from when absent.
        rate
            Messages a second at most.

        Raises
        ------
        streamzarr.errors.MessageError
            One of them can only be dropped; those before it were sent.
        streamzarr.errors.FencedError
            Somebody else has begun a replay of this topic, and goes on with it.
        streamzarr.errors.QueueError
            The broker refused some; those stay open.
        """
        with self.replaying(to=to, rate=rate) as replay:
            return replay.send(letters)

    def replaying(self, *, to: str | None = None, rate: float | None = None) -> Replay:
        """Begin a replay in several steps; it ends all others of this topic."""
        return Replay(self._broker, self._topic, to=to, rate=rate)

    def drop(self, letters: Iterable[Entry]) -> int:
        """Mark letters as dropped and return how many; they stay on the topic but are open no more."""
        return self.mark(letters, "dropped")

    def mark(self, letters: Iterable[Entry], outcome: str) -> int:
        """Mark letters as closed in another way than by a replay and return how many."""
        return self._mark((id_ for id_, _ in letters), outcome)

    def _mark(self, ids: Iterable[LetterId], outcome: str) -> int:
        return self._send(marker(id_, outcome) for id_ in ids)

    def _send(self, records: Iterable[NewRecord]) -> int:
        count = 0
        rest = iter(records)
        while batch := list(islice(rest, _BATCH)):
            with self._broker.producer() as producer:
                producer.send(self._topic, batch)
            count += len(batch)
        return count

    def purge(self, *, any_record: bool = False) -> int:
        """Remove the records before the first open letter of each partition; return how many offsets.

        What lies behind an open letter stays, as the topic can only be cut at its beginning. Of letters of
        feeds a notice stays, too: `feed check` would miss their records.

        Parameters
        ----------
        any_record
            Do so too where the topic has records that are no letters: it may be one of messages.

        Raises
        ------
        streamzarr.errors.ConfigError
            The topic has such records, and `any_record` is not said.
        """
        info, purging = self._broker.describe(self._topic), Purging()
        records = purging.seen(scan_kept(self._broker, self._topic, end=info.end))
        with closing(LetterIndex(records)) as index:
            if not any_record:
                index.require_letters()
            # Each by a marker of its own, as the letter by which it is closed may go first.
            self._mark(index.closed_by_others(), "with another")
            spans = index.spans()
        before = {
            number: spans[number].start if number in spans else purging.end(number, end)
            for number, end in info.end.items()
        }
        self._send(purging.notices(before))  # first: whoever is killed now has said too much, not too little
        self._broker.trim(self._topic, before)
        return sum(before[number] - info.begin[number] for number in before)


def _first(reader: Reader) -> Sequence[Record]:
    try:
        return reader.poll(1, _READ_TIMEOUT)
    except OffsetOutOfRangeError:  # it was purged just now
        return ()
