"""Topics of many partitions: what is asked of the broker does not grow with their square."""

from streamzarr.feeds import Feed, check_feed
from streamzarr.feeds.begin import look_at_all
from streamzarr.feeds.committer import FeedCommitter
from streamzarr.feeds.letters import Letters
from streamzarr.feeds.status import feed_status
from streamzarr.queue import TopicPartition
from streamzarr.stores import open_store
from streamzarr.testing.broker_fake import FakeBroker
from streamzarr.testing.clock import FakeClock

COUNT = 60
PARTITIONS = [TopicPartition("t", number) for number in range(COUNT)]


class Bench:
    def __init__(self, folder):
        self.broker = FakeBroker(FakeClock())
        self.broker.create_topic("t", COUNT)
        self.broker.create_topic("t.dead", 1)
        self.url = f"file://{folder}/t.zarr?fsync=false"
        self.feed = Feed.of(
            {
                "source": {"broker": "sqlite:///q.db", "topics": ["t"]},
                "decode": {"format": "json"},
                "columns": {"x": "i8"},
                "target": {"url": self.url, "chunk_rows": 4},
            }
        )
        self.store = open_store(self.url)
        self.asked = {"describe": 0, "identify": 0}
        for method in self.asked:
            self.broker.faults[method] = lambda method=method: self.count(method)
        self.beats = 0

    def count(self, method):
        self.asked[method] += 1

    def beat(self):
        self.beats += 1

    def start(self, partitions):
        letters = Letters(self.broker.producer(), self.feed.dead_topic, "w", self.broker.runtime)
        return FeedCommitter(self.feed, self.broker, self.store, letters, self.beat).start(partitions)


def test_the_broker_is_asked_once_for_all_partitions(tmp_path):
    bench = Bench(tmp_path)
    assert look_at_all(bench.feed, bench.broker, bench.store) == COUNT
    assert len(bench.start(PARTITIONS)) == COUNT
    assert bench.asked["describe"] <= 3
    assert bench.asked["identify"] <= 3
    assert bench.beats == COUNT, "what takes long says that it lives"
    found = check_feed(bench.url, bench.broker)
    assert len(found) == COUNT
    assert all(each.ok for each in found)
    assert bench.asked["describe"] <= 5


def test_others_commit_beyond_what_the_broker_said_a_moment_ago(tmp_path):
    bench = Bench(tmp_path)
    letters = Letters(bench.broker.producer(), bench.feed.dead_topic, "w", bench.broker.runtime)
    rival = FeedCommitter(bench.feed, bench.broker, bench.store, letters)
    rival.start(PARTITIONS[1:2])

    def meanwhile():
        if bench.beats == 1:  # the first partition was taken, and the topic described
            bench.broker.append("t", 1, b"{}")
            rival.commit({PARTITIONS[1]: 1})

    bench.beat = lambda: (meanwhile(), setattr(bench, "beats", bench.beats + 1))
    assert bench.start(PARTITIONS[:2]) == {PARTITIONS[0]: 0, PARTITIONS[1]: 1}


def test_records_of_partitions_that_nobody_has_taken_are_lag(tmp_path):
    bench = Bench(tmp_path)
    bench.start(PARTITIONS[:-1])
    assert (feed_status(bench.url, bench.broker).lag, feed_status(bench.url, bench.broker).waiting) == (0, 0)
    bench.broker.append("t", COUNT - 1, b"{}", b"{}")
    found = feed_status(bench.url, bench.broker)
    assert (found.lag, found.waiting) == (2, 2)
