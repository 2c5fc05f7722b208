"""A feed with several targets over a broker and a store in memory, one run at a time."""

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


def routed(route=None, columns=None, layout="log", **more):
    return Feed.of(
        {
            "source": {"broker": "sqlite:///q.db", "topics": ["t"], "session_timeout": 5},
            "decode": {"format": "json"},
            "columns": columns or {"s": "string", "x": "f8"},
            "target": {"url": "memory://", "chunk_rows": 4, "layout": layout, **more.pop("target", {})},
            "route": {"by": "s"} if route is None else route,
            **more,
        }
    )


class Flaky(MemoryStore):
    """Puts of keys that end so fail, while there is a text."""

    failing = ""

    def put(self, key, data, **condition):
        if self.failing and key.endswith(self.failing):
            raise StoreError("away")
        return super().put(key, data, **condition)


class RouteBench:
    def __init__(self):
        self.runtime = FakeClock()
        self.broker = FakeBroker(self.runtime)
        self.broker.create_topic("t", 1)
        self.broker.create_topic("t.dead", 1)
        self.store = Flaky()
        self.sent = 0

    def life(self, told):
        """Return the committer of a new life."""
        self.maker = RowMaker(
            told.columns,
            open_decoder("json", {name: each for name, each in told.columns.items() if not each.of_record}),
        )
        letters = Letters(self.broker.producer(), told.dead_topic, "w", self.runtime)
        committer = FeedCommitter(told, self.broker, self.store, letters)
        self.begins = committer.start([WHERE])[WHERE]
        return committer

    def send(self, *names):
        values = [b'{"s": "%s", "x": %d}' % (name.encode(), self.sent + at) for at, name in enumerate(names)]
        self.broker.append("t", 0, *values)
        self.sent += len(names)

    def take(self, committer, start, stop):
        with self.broker.reader("t", {0: start}) as reader:
            [run] = reader.poll_columns(stop - start, 0)
        return committer.store([Message(run=run, data=self.maker(run))])

    def rows(self, target):
        return open_stream(self.store, target_path(target, "p00000"))["offset"][:].tolist()

    @property
    def letters(self):
        return {each.offset: each.message for _, each in DeadLetterQueue(self.broker, "t.dead").ls()}
