"""A partition of windows on a fake broker, in memory, whose store fails when it is told to."""

import json

from streamzarr.errors import StoreError
from streamzarr.feeds import Feed
from streamzarr.feeds.committer import FeedCommitter
from streamzarr.feeds.decode import open_decoder
from streamzarr.feeds.letters import Letters
from streamzarr.feeds.rows import RowMaker
from streamzarr.flow import Message
from streamzarr.flow.ops.settle import DONE
from streamzarr.queue import DeadLetter, TopicPartition
from streamzarr.queue.scan import scan
from streamzarr.stores import MemoryStore
from streamzarr.stream import open_stream
from streamzarr.testing.broker_fake import FakeBroker
from streamzarr.testing.clock import FakeClock

WHERE = TopicPartition("t", 0)
TABLES = {
    "source": {"broker": "sqlite:///q.db", "topics": ["t"]},
    "decode": {"format": "json"},
    "columns": {"at": {"dtype": "datetime64[s]", "unit": "s"}, "k": "string", "x": "i8"},
    "target": {"url": "memory://", "layout": "windows", "chunk_rows": 4, "commit": {"rows": 3}},
    "window": {
        "kind": "fixed",
        "size": "10s",
        "time": "at",
        "key": "k",
        "lateness": "5s",
        "values": {"x": "sum"},
    },
}


class Flaky(MemoryStore):
    """Puts fail once, from the one on whose turn it is; of some the answer is lost, and not the put."""

    def __init__(self):
        super().__init__()
        self.left, self.lost = 10**9, False

    def put(self, key, data, **condition):
        self.left -= 1
        if self.left == 0:
            if self.lost:
                super().put(key, data, **condition)
            raise StoreError("away")
        return super().put(key, data, **condition)


class Bench:
    def __init__(self, **window):
        self.runtime, self.store = FakeClock(), Flaky()
        self.broker = FakeBroker(self.runtime)
        self.broker.create_topic("t", 1)
        self.broker.create_topic("t.dead", 1)
        self.configure(**window)

    def configure(self, columns=TABLES["columns"], **window):
        window = {**TABLES["window"], **window}
        self.feed = Feed.of({**TABLES, "columns": columns, "window": window})
        self.maker = RowMaker(self.feed.columns, open_decoder("json", self.feed.columns))

    def send(self, *ticks):
        self.broker.append(
            "t", 0, *(json.dumps({"at": at, "k": key, "x": x}).encode() for at, key, x in ticks)
        )

    def committer(self):
        letters = Letters(self.broker.producer(), self.feed.dead_topic, "w", self.runtime)
        return FeedCommitter(self.feed, self.broker, self.store, letters)

    def runs(self, start, count=7):
        with self.broker.reader("t", {0: start}) as reader:
            return reader.poll_columns(count, 0)

    def live(self, until=None, count=7):
        """Take what is there up to an offset, a few records at a time, and commit."""
        committer = self.committer()
        at = committer.start([WHERE])[WHERE]
        end = self.broker.describe("t").end[0] if until is None else until
        while at < end:
            for run in self.runs(at, min(count, end - at)):
                assert committer.store([Message(run=run, data=self.maker(run))]) == [DONE]
                at = run.stop
                committer.commit({WHERE: at})
        return committer

    @property
    def stream(self):
        return open_stream(self.store, "p00000")

    @property
    def reasons(self):
        return [DeadLetter.from_record(each).message for each in scan(self.broker, "t.dead")]

    def rows(self):
        found = self.stream
        return [
            *zip(
                found["begin"][:].astype("M8[s]").astype(int).tolist(),
                found["k"][:].tolist(),
                found["count"][:].tolist(),
                found["x"][:].tolist(),
                strict=True,
            )
        ]

    def objects(self):
        return sorted(self.store.list("windows"))
