"""Reading the partitions of a topic outside any group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from confluent_kafka import OFFSET_BEGINNING, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from streamzarr.errors import QueueError
from streamzarr.queue.base import Reader, TopicPartition
from streamzarr.queue.columns import Columns
from streamzarr.queue.kafka.admin import KafkaAdmin
from streamzarr.queue.kafka.clients import Source as Client
from streamzarr.queue.kafka.errors import translate
from streamzarr.queue.kafka.fetch import Fetcher
from streamzarr.queue.kafka.handle import Handle


class KafkaReader(Reader):
    """Reads all partitions of a topic. Owned by one thread.

    Its group id is new and nothing is ever committed to it, so the cluster never hears of the group.
    """

    def __init__(
        self,
        admin: KafkaAdmin,
        partitions: Sequence[TopicPartition],
        start: Mapping[TopicPartition, int],
        prefetch_bytes: int | None = None,
    ) -> None:
        self._where = str(admin.config)
        self._closed = False
        begin = admin.begin(partition for partition in partitions if partition not in start)
        settings = admin.config.reader(
            f"streamzarr-reader-{admin.config.runtime.random_bytes(16).hex()}", prefetch_bytes
        )
        self._handle = Handle(Client(settings, logger=admin.config.log))
        self._fetcher = Fetcher(self._handle.client, admin, topics=1)
        self._fetcher.add({**begin, **start})
        if begin:  # librdkafka looks for the beginning at once, or again after half a second: connect first
            self._connect(next(iter(begin)), admin.config.request_timeout)
        # Not `begin`: what is trimmed before the first fetch would put that out of range.
        self._assign({each: start.get(each, OFFSET_BEGINNING) for each in partitions})

    def _assign(self, start: Mapping[TopicPartition, int]) -> None:
        self._handle.client.assign([KafkaPartition(*each, position) for each, position in start.items()])

    def _connect(self, partition: TopicPartition, timeout: float) -> None:
        try:
            self._handle.client.get_watermark_offsets(KafkaPartition(*partition), timeout=timeout)
        except KafkaException as error:
            raise translate(error, f"{self._where}: cannot read topic {partition.topic!r}") from error

    def poll_columns(  # noqa: D102
        self, max_records: int, timeout: float, max_bytes: int | None = None
    ) -> list[Columns]:
        if self._closed:
            raise QueueError(f"{self._where}: the reader is closed")
        self._handle.check(self._where, "reader")
        if self._fetcher.broken_off:
            self._read_again()
        return list(self._fetcher.fetch(max_records, timeout, max_bytes)) if max_records > 0 else []

    def _take_back(self, runs: Sequence[Columns]) -> None:
        self._fetcher.positions.update({run.where: run.first for run in runs})
        self._fetcher.broken_off = True

    def _read_again(self) -> None:
        positions = self.positions()
        self._fetcher.drop(positions)
        try:
            for each, position in positions.items():
                self._handle.client.seek(KafkaPartition(*each, position))
        except KafkaException:  # nothing is being fetched of one: it was out of range, or is new
            self._assign(positions)
        self._fetcher.broken_off = False

    def positions(self) -> dict[TopicPartition, int]:  # noqa: D102
        return dict(self._fetcher.positions)

    def close(self) -> None:  # noqa: D102
        if not self._closed:
            self._closed = True
            if self._handle.is_here:
                self._handle.client.close()
