"""What a fleet says at once about what would only show later."""

import pytest

import streamzarr as sz
from streamzarr.errors import ConfigError, QueueError
from streamzarr.queue import open_broker


@pytest.fixture
def broker(tmp_path):
    return f"sqlite:///{tmp_path}/queue.db"


def said(caplog):
    return [record.getMessage() for record in caplog.records if record.name == "streamzarr.fleet"]


def test_a_root_that_does_not_exist(broker, tmp_path, caplog):
    sz.Fleet(broker, 1, roots=[str(tmp_path), f"file://{tmp_path}/nowhere", "s3://lab/runs"])
    assert said(caplog) == [f"root {tmp_path}/nowhere does not exist: until it does, tasks below it fail"]


def test_more_processes_than_partitions(broker, tmp_path, caplog):
    sz.Fleet(broker, 16, roots=[str(tmp_path)])
    assert said(caplog) == []
    sz.Fleet(broker, 20, roots=[str(tmp_path)])
    with open_broker(broker) as opened:
        opened.create_topic("maps.tasks", partitions=1)
    sz.Fleet(broker, 2, roots=[str(tmp_path)], prefix="maps")
    assert said(caplog) == [
        "partitions of topic streamzarr.tasks: 16, so 4 of 20 worker processes will have nothing to do",
        "partitions of topic maps.tasks: 1, so 1 of 2 worker processes will have nothing to do",
    ]


def test_more_processes_than_partitions_later(broker, tmp_path, caplog):
    with open_broker(broker) as opened:
        opened.create_topic("streamzarr.tasks", partitions=1)
    with sz.Fleet(broker, 1, roots=[str(tmp_path)]) as fleet:
        assert said(caplog) == []
        fleet.resize(2)
        assert len(said(caplog)) == 1


def test_a_root_in_memory_is_refused(broker):
    with pytest.raises(ConfigError, match="only this process can see it"):
        sz.Fleet(broker, 1, roots=["memory://lab"])


@pytest.mark.parametrize(
    "options", [{"max_restarts": -1}, {"max_demand": 0}, {"workers": 0}, {"prefix": "a/b"}]
)
def test_what_is_refused_has_made_no_queue(broker, tmp_path, options):
    with pytest.raises(ConfigError):
        sz.Fleet(broker, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_broker_that_is_away_is_told_at_once(tmp_path):
    with pytest.raises(QueueError):
        sz.Fleet("kafka://127.0.0.1:1?request_timeout=0.2", roots=[str(tmp_path)])
