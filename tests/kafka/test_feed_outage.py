"""A feed whose broker goes away and that is stopped meanwhile: all is committed, and nobody is waited for."""

import time
import uuid

import pytest

from streamzarr.feeds import Feed, run_feed
from streamzarr.feeds.progress import behind, ends_of
from streamzarr.flow import Stop
from streamzarr.queue import NewRecord, open_broker
from streamzarr.runtime import SYSTEM
from tests.support.feeds import until

PATIENCE = 8.0
"""Seconds: less than one question to a broker that is away takes (10), more than the end of a feed (2)."""


@pytest.fixture(params=["frozen", "killed"])
def away(request, kafka_process):
    """What takes the broker away, until the end of the test."""
    if request.param == "frozen":
        yield kafka_process.freeze
        kafka_process.thaw()
        kafka_process.wait_until_it_answers()  # what is asked next may have been given up by then
    else:
        yield kafka_process.kill
        kafka_process.start()


@pytest.fixture
def running(kafka_process, tmp_path):
    """A feed of three topics that has committed all there is, and what stops it and tells how it ended."""
    topics = [f"feed-{uuid.uuid4().hex[:12]}" for _ in range(3)]
    with open_broker(kafka_process.url) as broker, broker.producer() as producer:
        for topic in topics:
            broker.create_topic(topic)
            producer.send(topic, [NewRecord(b'{"x": 1}')] * 10)
        producer.flush()
        ends = ends_of(broker, topics)
    feed = Feed.of(
        {
            "source": {"broker": kafka_process.url, "topics": topics},
            "decode": {"format": "json"},
            "columns": {"x": "i8"},
            "target": {"url": str(tmp_path / "feed.zarr"), "commit": {"seconds": 0.1}},
        }
    )
    stop, ended = Stop(), []
    thread = SYSTEM.thread(lambda: ended.append(run_feed(feed, stop=stop)), "feed")
    thread.start()
    until(lambda: ended or not behind(feed.target.url, ends), "the end of the topics", 60)
    assert not ended

    def end():
        stop.drain(27)
        begun = time.monotonic()
        thread.join(PATIENCE)
        assert ended, f"not within {PATIENCE} s"
        return ended[0], time.monotonic() - begun

    yield end
    stop.now()
    thread.join(60)


@pytest.mark.parametrize("seconds", [0.0, 3.0, 11.0])
def test_a_feed_is_stopped_while_its_broker_is_away(away, running, seconds):
    away()
    SYSTEM.event().wait(seconds)  # positions that the group is to hear of, and a reading, are due meanwhile
    report, _ = running()
    assert (report.ok, report.left) == (30, 0)


def test_nobody_says_that_the_broker_is_back_before_it_is(away, running, caplog):
    away()
    until(lambda: "cannot be reached" in caplog.text, "the news", 20)
    SYSTEM.event().wait(16.0)
    running()
    assert "reached again" not in caplog.text
