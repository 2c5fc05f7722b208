"""A feed of ours, and somebody who looks on: what was taken, and what is visible since when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streamzarr.feeds import Feed, worker
from streamzarr.feeds.committer import FeedCommitter
from streamzarr.flow import Message, Stop
from streamzarr.flow.ops.settle import Report
from streamzarr.queue import TopicPartition


class Onlooker:
    """Hears what a feed does, on its thread."""

    def began(self, partitions: int) -> None:
        """Hear that so many partitions are ours."""

    def took(self, records: int) -> None:
        """Hear of records, which are not committed yet."""

    def committed(self, positions: Mapping[TopicPartition, int]) -> None:
        """Hear up to where records have become visible just now."""


def run_watched(feed: Feed, stop: Stop, onlooker: Onlooker) -> None:
    """Run `feed` in this thread."""

    class Watched(FeedCommitter):
        def start(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
            starts = super().start(partitions)
            onlooker.began(len(self.owned))
            return starts

        def store(self, messages: Sequence[Message]) -> Sequence[Report]:
            before = self.tally.records
            reports = super().store(messages)
            onlooker.took(self.tally.records - before)
            return reports

        def commit(self, positions: Mapping[TopicPartition, int]) -> None:
            super().commit(positions)
            onlooker.committed(positions)

    worker.FeedCommitter = Watched  # type: ignore[misc]  # it is made inside, and nobody else has to look on
    worker.run_feed(feed, stop=stop)
