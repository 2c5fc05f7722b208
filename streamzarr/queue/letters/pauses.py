"""Partitions that pause rather than write letters: told on the topic of the letters, and told there to go on.

Both are records without a value. A notice says which partition stands where, and why; it holds until the
group's position has passed that, so nobody has to take it back. An order says which partitions shall go on;
who has some that pause reads what is written from then on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from streamzarr.queue.base import Broker, NewRecord, Record, TopicPartition
from streamzarr.queue.deadletter import cut, whole
from streamzarr.queue.scan import scan_kept

_PREFIX: Final = "streamzarr.paused."
_NAMES: Final = tuple(
    _PREFIX + name for name in ("group", "topic", "partition", "position", "reason", "since", "worker")
)
_ORDER: Final = "streamzarr.resume"
_REASON_BYTES: Final = 1024


@dataclass(frozen=True, slots=True)
class PauseNotice:
    """A partition that pauses, as whoever has it tells the others.

    Examples
    --------
    >>> notice = PauseNotice("archive", "ticks", 1, 41, "no registry", since=1767225600000, worker="host:7")
    >>> sent = notice.to_record()
    >>> PauseNotice.of(Record("ticks.dead", 0, 5, None, None, sent.headers, 0)) == notice
    True
    """

    group: str
    topic: str
    partition: int
    position: int
    """Where it will go on."""
    reason: str
    since: int
    """When the pause began, milliseconds since the epoch."""
    worker: str

    def to_record(self) -> NewRecord:
        """Return the record for the topic of the letters."""
        values: tuple[str | int, ...] = (
            self.group,
            self.topic,
            self.partition,
            self.position,
            cut(self.reason, _REASON_BYTES),
            self.since,
            self.worker,
        )
        headers = tuple((name, str(value).encode()) for name, value in zip(_NAMES, values, strict=True))
        return NewRecord(value=None, headers=headers)

    @classmethod
    def of(cls, record: Record) -> PauseNotice | None:
        """Return the notice that a record is; ``None``: it is something else."""
        if record.value is not None or tuple(name for name, _ in record.headers) != _NAMES:
            return None
        try:
            group, topic, partition, position, reason, since, worker = (
                value.decode() for _, value in record.headers
            )
            return cls(group, topic, whole(partition, 0), whole(position, 0), reason, whole(since), worker)
        except ValueError:
            return None


def order_of(partition: TopicPartition) -> NewRecord:
    """Return the record that tells a partition to go on."""
    return NewRecord(value=None, headers=((_ORDER, f"{partition.topic}:{partition.partition}".encode()),))


def ordered(record: Record) -> TopicPartition | None:
    """Return the partition that a record tells to go on; ``None``: it is something else.

    >>> sent = order_of(TopicPartition("ticks", 1))
    >>> ordered(Record("ticks.dead", 0, 5, None, None, sent.headers, 0))
    TopicPartition(topic='ticks', partition=1)
    """
    if record.value is not None or len(record.headers) != 1 or record.headers[0][0] != _ORDER:
        return None
    topic, _, number = record.headers[0][1].decode(errors="replace").rpartition(":")
    try:
        return TopicPartition(topic, whole(number, 0)) if topic else None
    except ValueError:
        return None


def is_about_pauses(record: Record) -> bool:
    """Tell whether a record of a topic of letters is a notice or an order: it is no letter then."""
    return PauseNotice.of(record) is not None or ordered(record) is not None


def paused_partitions(broker: Broker, dead_letters: str) -> list[PauseNotice]:
    """Return which partitions pause whose letters go to the topic `dead_letters`, as far as was told there.

    Raises
    ------
    streamzarr.errors.TopicNotFoundError
        There is no such topic.
    """
    newest: dict[tuple[str, str, int], PauseNotice] = {}
    for record in scan_kept(broker, dead_letters):
        notice = PauseNotice.of(record)
        if notice is not None:
            at = (notice.group, notice.topic, notice.partition)
            if at not in newest or newest[at].since <= notice.since:
                newest[at] = notice
    return [newest[at] for at in sorted(newest) if _stands(broker, newest[at])]


def _stands(broker: Broker, notice: PauseNotice) -> bool:
    committed = broker.committed(notice.group, notice.topic).get(notice.partition, 0)
    return committed <= notice.position


def resume_partitions(broker: Broker, dead_letters: str, partitions: Iterable[TopicPartition]) -> None:
    """Tell partitions whose letters go to the topic `dead_letters` to go on, wherever they are read."""
    orders = [order_of(partition) for partition in partitions]
    with broker.producer() as producer:
        producer.send(dead_letters, orders)
