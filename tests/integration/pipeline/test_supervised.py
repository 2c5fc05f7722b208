"""Pipelines as supervised processes: restart, poison, drain."""

import pytest

from streamzarr.pipeline.processes import supervised
from tests.support.heavy_pipelines import Deadly
from tests.support.pipelines import until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(700)]

MANY_STARTS = 500.0
"""Seconds for some ten processes to begin, one after the other, on a loaded machine."""


@pytest.fixture
def spot(place, tmp_path, monkeypatch):
    """Topics and a folder, by the environment in which workers start."""
    topic, dead, folder = place.topic("in", partitions=2), place.topic("dead"), tmp_path / "out"
    folder.mkdir()
    for name, value in {
        "PIPE_BROKER": place.broker.url,
        "PIPE_TOPIC": topic,
        "PIPE_GROUP": place.group,
        "PIPE_DEAD": dead,
        "PIPE_FOLDER": str(folder),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Deadly, "source", place.source(topic))
    monkeypatch.setattr(Deadly, "dead_letters", dead)
    return place, topic, dead, folder


def test_messages_that_kill_their_process_are_found_and_the_others_are_stored(spot):
    place, topic, dead, folder = spot
    for partition in range(2):
        records = [b"n%d" % n for n in range(40)]
        records[35 + partition] = (b"poison", b"poison in batch")[partition]
        place.fill(topic, records, partition)
    with supervised(Deadly, 2, max_restarts=20) as pool:
        until(lambda: place.committed(topic) == {0: 40, 1: 40}, "all is committed", MANY_STARTS)
        report = pool.stop()
    assert sorted(letter.value for letter in place.letters(dead)) == [b"poison", b"poison in batch"]
    assert {letter.error_class for letter in place.letters(dead)} == {"ProcessDiedError"}
    assert len(list(folder.iterdir())) == 78
    assert report.clean


def test_processes_drain_when_they_are_stopped(spot):
    place, topic, _, folder = spot
    place.fill(topic, [b"n%d" % n for n in range(2000)])
    with supervised(Deadly, 2) as pool:
        until(lambda: len(list(folder.iterdir())) > 50)
        report = pool.stop(drain=30.0)
    assert [worker.outcome for worker in report.workers] == ["drained", "drained"]
    with supervised(Deadly, 1):
        until(lambda: place.committed(topic).get(0) == 2000)
    assert {file.read_bytes().count(b"\n") for file in folder.iterdir()} == {1}
