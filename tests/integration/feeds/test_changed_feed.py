"""A configuration that was changed meanwhile: what the rows mean stays, or the feed stops and says why."""

import json

import pytest

from streamzarr.errors import ConfigError
from streamzarr.feeds import open_grid
from tests.support.feeds import FeedBench

GRID = {"time": "at", "step": "1s"}
COLUMNS = {"at": "datetime64[s]", "price": "f8"}


@pytest.fixture
def bench(tmp_path):
    return FeedBench(f"sqlite:///{tmp_path}/queue.db", tmp_path, partitions=1)


def send(bench, *seconds):
    bench.send(*(json.dumps({"at": f"2026-01-01T00:00:{at:02}Z", "price": at}).encode() for at in seconds))


def grid(bench, columns=COLUMNS, **changes):
    return bench.feed(columns=columns, target={"layout": "grid"}, grid=GRID | changes)


def test_decimals_are_settled(bench):
    bench.send(b'{"p": "1.5"}')
    bench.ingest(bench.feed(columns={"p": {"dtype": "i8", "decimals": 2}}))
    with pytest.raises(ConfigError, match="field 'p' has decimals 2 in the stream, and 3"):
        bench.stops(bench.feed(columns={"p": {"dtype": "i8", "decimals": 3}}))
    assert bench.streams()["p00000"]["p"].attributes["streamzarr_decimals"] == 2


@pytest.mark.parametrize("was", [True, False])
def test_whether_a_column_is_sorted_is_settled(bench, was):
    bench.send(b'{"n": 3}')
    bench.ingest(bench.feed(columns={"n": {"dtype": "i8", "sorted": was}}))
    bench.send(b'{"n": 1}')
    with pytest.raises(ConfigError, match="field 'n' has sorted"):
        bench.stops(bench.feed(columns={"n": {"dtype": "i8", "sorted": not was}}))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"step": "3s"}, "field 'time' has step_ns 1000000000 in the stream, and 3000000000"),
        ({"values": {"price": "mean"}}, "field 'price' has how last in the stream, and mean"),
    ],
)
def test_what_a_slot_is_is_settled(bench, changes, reason):
    send(bench, 0, 1, 5)
    bench.ingest(grid(bench))
    send(bench, 6, 9)
    with pytest.raises(ConfigError, match=reason):
        bench.stops(grid(bench, **changes))


def test_keys_that_have_rows_are_wanted_still(bench):
    columns = COLUMNS | {"who": {"dtype": "string", "required": False, "fill": "A"}}
    send(bench, 0, 1, 5)
    bench.ingest(grid(bench, columns, key="who", keys=["A", "B"]))
    with pytest.raises(ConfigError, match=r"has the key 'A', which grid\.keys lacks"):
        bench.stops(grid(bench, columns, key="who", keys=["C", "B"]))


def test_a_grid_gets_a_field(bench):
    send(bench, 0, 1, 5)
    bench.ingest(grid(bench))
    send(bench, 6, 9)
    bench.ingest(grid(bench, COLUMNS | {"size": {"dtype": "i4", "required": False, "fill": -1}}))
    assert open_grid(bench.target)["size"][:, 0].tolist()[-2:] == [-1, -1]


def test_one_topic_more_is_no_second_beginning(bench):
    """Rows of one topic are directly below the target, those of several below the topics' names."""
    bench.ticks(3)
    bench.ingest()
    other = f"{bench.topic}.more"
    bench.broker.create_topic(other)
    with pytest.raises(ConfigError, match="p00000 has rows already: with one topic"):
        bench.stops(bench.feed(source={"topics": [bench.topic, other]}))


def test_one_topic_less_is_no_second_beginning(bench):
    other = f"{bench.topic}.more"
    bench.broker.create_topic(other)
    bench.ticks(3)
    bench.ingest(bench.feed(source={"topics": [bench.topic, other]}))
    with pytest.raises(ConfigError, match="has rows already: with one topic"):
        bench.stops()


def test_another_layout_is_another_target(bench):
    send(bench, 1, 2, 9)
    bench.ingest(bench.feed(columns=COLUMNS))
    before = sorted(map(str, bench.folder.rglob("*")))
    with pytest.raises(ConfigError, match=r"target.layout was 'log' when it was made, and is 'grid'; give"):
        bench.ingest(grid(bench))
    assert sorted(map(str, bench.folder.rglob("*"))) == before
