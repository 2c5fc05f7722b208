"""Feeds over a broker and a store in memory, one run at a time: with one target, and with several."""

from streamzarr.errors import StoreError
from streamzarr.feeds import Feed
from streamzarr.feeds.committer import FeedCommitter
from streamzarr.feeds.decode import open_decoder
from streamzarr.feeds.letters import Letters
from streamzarr.feeds.places import target_path
from streamzarr.feeds.rows import RowMaker
from streamzarr.flow import Message
from streamzarr.queue import DeadLetterQueue, TopicPartition
from streamzarr.stores import MemoryStore
from streamzarr.stream import open_stream
from streamzarr.testing.broker_fake import FakeBroker
from streamzarr.testing.clock import FakeClock

WHERE = TopicPartition("t", 0)


def feed(columns, target=None, **more):
    return Feed.of(
        {
            "source": {"broker": "sqlite:///q.db", "topics": ["t"], "session_timeout": 5},
            "decode": {"format": "json"},
            "columns": columns,
            "target": {"url": "memory://", "chunk_rows": 4, **(target or {})},
            **more,
        }
    )


def routed(route=None, columns=None, layout="log", target=None, **more):
    return feed(
        columns or {"s": "string", "x": "f8"},
        {"layout": layout, **(target or {})},
        route={"by": "s"} if route is None else route,
        **more,
    )


class CommitterBench:
    """What a committer works with, and what was sent to it."""

    def __init__(self, store):
        self.runtime = FakeClock()
        self.broker = FakeBroker(self.runtime)
        self.broker.create_topic("t", 1)
        self.broker.create_topic("t.dead", 1)
        self.store = store

    def committer_of(self, told):
        """Return the committer of a new life."""
        self.maker = RowMaker(
            told.columns,
            open_decoder("json", {name: each for name, each in told.columns.items() if not each.of_record}),
        )
        letters = Letters(self.broker.producer(), told.dead_topic, "w", self.runtime)
        return FeedCommitter(told, self.broker, self.store, letters)

    def runs(self, start, stop):
        with self.broker.reader("t", {0: start}) as reader:
            [run] = reader.poll_columns(stop - start, 0)
        return [Message(run=run, data=self.maker(run))]


class Flaky(MemoryStore):
    """Puts of keys that end so fail, while there is a text."""

    failing = ""

    def put(self, key, data, **condition):
        if self.failing and key.endswith(self.failing):
            raise StoreError("away")
        return super().put(key, data, **condition)


class RouteBench(CommitterBench):
    def __init__(self):
        super().__init__(Flaky())
        self.sent = 0

    def life(self, told):
        """Return the committer of a new life, which has begun."""
        committer = self.committer_of(told)
        self.begins = committer.start([WHERE])[WHERE]
        return committer

    def send(self, *names):
        values = [b'{"s": "%s", "x": %d}' % (name.encode(), self.sent + at) for at, name in enumerate(names)]
        self.broker.append("t", 0, *values)
        self.sent += len(names)

    def take(self, committer, start, stop):
        return committer.store(self.runs(start, stop))

    def rows(self, target):
        return open_stream(self.store, target_path(target, "p00000"))["offset"][:].tolist()

    @property
    def letters(self):
        return {each.offset: each.message for _, each in DeadLetterQueue(self.broker, "t.dead").ls()}
