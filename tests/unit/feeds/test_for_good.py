"""What a worker of a feed raises that a fresh process would find the same: it is not started again."""

import gc

import pytest

from streamzarr import feed_fleet
from streamzarr.errors import AccessDeniedError, ConfigError, QueueError, StreamGoneError, TopicNotFoundError
from streamzarr.feeds.worker import Unsupervised
from streamzarr.queue import open_broker
from streamzarr.testing.clock import FakeClock


@pytest.fixture
def work(tmp_path, monkeypatch):
    """Run a worker that raises an error; return that for good, or not, it ends."""
    url = f"sqlite:///{tmp_path}/queue.db"
    with open_broker(url) as broker:
        broker.create_topic("there")
    for name in ("freeze", "set_threshold"):
        monkeypatch.setattr(gc, name, lambda *_: None)
    monkeypatch.setattr(feed_fleet.Feed, "of", lambda feed: feed)
    monkeypatch.setattr(feed_fleet, "GONE_SECONDS", 0.01)

    def work(error, topic="there"):
        def fail(*_):
            raise error

        monkeypatch.setattr(feed_fleet, "run_feed", fail)
        feed_fleet.work(Unsupervised("w", FakeClock()), {"source": {"broker": url, "topics": [topic]}})

    return work


@pytest.mark.parametrize(
    "error",
    [
        AccessDeniedError("q.db: cannot be written"),
        PermissionError(13, "Permission denied", "/data"),
        StreamGoneError("p00000: the stream is gone"),
    ],
)
def test_what_is_for_good_is_told_in_one_sentence(work, error):
    with pytest.raises(ConfigError) as caught:
        work(error)
    assert str(caught.value) == str(error)


def test_a_topic_is_gone_for_good_when_it_is_not_there_in_a_moment_either(work):
    with pytest.raises(ConfigError, match="no topic 'gone'"):
        work(TopicNotFoundError("no topic 'gone'"), topic="gone")
    with pytest.raises(TopicNotFoundError):  # a server had not heard of it
        work(TopicNotFoundError("no topic 'there'"))


def test_an_outage_is_not_for_good(work):
    with pytest.raises(QueueError):
        work(QueueError("away"))
