"""The offsets of the records that topics have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from streamzarr.errors import QueueError
from streamzarr.feeds.asked import Asked
from streamzarr.feeds.lettered import Offsets
from streamzarr.queue import Broker, TopicPartition
from streamzarr.runtime import Deadline
from streamzarr.zarr.streaming.progress import Progress

BATCH: Final = 10_000
PATIENCE: Final = 10.0
"""Seconds without a record after which reading is given up."""


class Offered(Asked):
    """What the broker says of topics, and the offsets of their records. Owned by one thread; blocks."""

    def __init__(self, broker: Broker, progress: Progress) -> None:
        super().__init__(broker)
        self._progress = progress
        self._left: dict[TopicPartition, int] = {}
        self._total = 0

    def expect(self, spans: Mapping[TopicPartition, tuple[int, int]]) -> None:
        """Count on these offsets of partitions, from the first to before the second, to be asked for."""
        for partition, (start, stop) in spans.items():
            self._left[partition] = max(0, stop - max(start, self.bounds(partition)[0]))
        self._total = sum(self._left.values())

    def offsets(self, partition: TopicPartition, begin: int, position: int) -> Iterator[Offsets]:
        """Yield the offsets of the records from `begin` to `position`, or a bit further.

        Raises
        ------
        streamzarr.errors.QueueError
            There is no such partition, or nothing comes any more.
        """
        begin = max(begin, self.bounds(partition)[0])
        if begin < position:  # of many partitions most may be empty, and a reader is a connection
            yield from self._read(partition, begin, position)
        self._tell(partition, 0)

    def _read(self, partition: TopicPartition, begin: int, position: int) -> Iterator[Offsets]:
        deadline = Deadline(self.broker.runtime, PATIENCE)
        start = {**self.info(partition.topic).end, partition.partition: begin}
        with self.broker.reader(partition.topic, start) as reader:
            while reader.positions().get(partition, begin) < position:
                for run in reader.poll_columns(BATCH, 0.05):
                    deadline = Deadline(self.broker.runtime, PATIENCE)
                    if run.where == partition:
                        yield run.offsets
                        self._tell(partition, max(0, position - run.stop))
                if deadline.passed:
                    raise QueueError(
                        f"{self.broker}: {partition.topic}[{partition.partition}] gave nothing for "
                        f"{PATIENCE:g} s, and offset {position} was not reached"
                    )

    def _tell(self, partition: TopicPartition, left: int) -> None:
        self._left[partition] = min(left, self._left.get(partition, 0))
        self._progress(self._total - sum(self._left.values()), self._total)
