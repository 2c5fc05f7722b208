"""A grid from a topic: each record in its slot, late ones too; what has none is a dead letter."""

import numpy as np
import pytest

from streamzarr.errors import ConfigError
from streamzarr.feeds import check_feed, open_grid
from streamzarr.queue import DeadLetterQueue
from tests.support.feeds import FeedBench
from tests.support.timed_ticks import COLUMNS, START, send

GRID = {"time": "at", "step": "1s", "key": "symbol", "keys": 4, "lateness": "2s"}


def grid(bench, **changes):
    return bench.feed(columns=COLUMNS, target={"layout": "grid"}, grid={**GRID, **changes})


def seconds(found):
    return list((found.times - np.datetime64(START, "ms")) // np.timedelta64(1, "s"))


def test_bars_of_ticks(bench):
    send(
        bench,
        *(
            (0, "A", 10.0, 1),
            (100, "B", 5.0, 1),
            (300, "A", 12.0, 2),
            (400, "A", 9.0, 3),
            (900, "A", 11.0, 4),
        ),
        (2500, "B", 6.0, 1),  # nothing at 1 s
        (950, "A", 11.5, 5),  # late, and still in time
        (2600, "A", None, 7),  # no price
        (9000, "A", 20.0, 1),
    )
    bench.ingest(grid(bench, values={"price": "ohlc", "size": "sum"}))
    found = open_grid(bench.target)
    assert (found.keys, seconds(found)) == (("A", "B"), [0, 1, 2, 3, 4, 5, 6])
    assert found["count"].tolist()[:3] == [[5, 1], [0, 0], [1, 1]]
    assert [found[f"price_{part}"][0, 0] for part in ("open", "high", "low", "close")] == [
        10.0,
        12.0,
        9.0,
        11.5,
    ]
    assert found["size"].tolist()[:3] == [[15, 1], [0, 0], [7, 1]]
    assert np.isnan(found["price_close"][1]).all()
    assert np.isnan(found["price_close"][2, 0])
    assert all(each.ok for each in check_feed(bench.target, bench.broker))


def test_it_goes_on_with_its_open_slots(bench):
    feed = grid(bench, values={"size": "sum"})
    send(bench, (0, "A", 1.0, 1), (1500, "A", 2.0, 1), (2500, "A", 2.5, 1))
    bench.ingest(feed)
    send(bench, (1700, "B", 3.0, 1), (2700, "B", 3.0, 1), (20_000, "A", 4.0, 1))
    bench.ingest(feed)
    found = open_grid(bench.target)
    assert found.keys == ("A", "B")
    assert found["size"][:4].tolist() == [[1, 0], [1, 1], [1, 1], [0, 0]]
    assert found["price"][:3, 0].tolist() == [1.0, 2.0, 2.5]
    assert all(each.ok for each in check_feed(bench.target, bench.broker))


def test_what_cannot_be_placed_has_a_letter(bench):
    send(
        bench,
        (10_000, "A", 1.0, 1),
        (7_000, "A", 1.0, 1),  # later than 2 s
        *((10_000, symbol, 1.0, 1) for symbol in "BCDE"),  # one more than there is room for
        (10_000 + 40 * 86_400_000, "A", 1.0, 1),  # the clock of a producer jumped
        (12_000, "A", 1.0, 1),
    )
    bench.ingest(grid(bench))
    reasons = {letter.offset: letter.message for letter in bench.letters()}
    assert sorted(reasons) == [1, 5, 6]
    assert "late by more than 2 s" in reasons[1]
    assert "no room for another key, 4" in reasons[5]
    assert "ahead of all before" in reasons[6]
    assert all(each.ok for each in check_feed(bench.target, bench.broker))


def test_a_gap_is_empty_slots(bench):
    send(bench, (0, "A", 1.0, 1), (3_000_000, "A", 2.0, 1), (3_010_000, "A", 2.0, 1))
    bench.ingest(grid(bench))
    found = open_grid(bench.target)
    assert len(found.times) == 3008
    assert np.flatnonzero(found["count"][:, 0]).tolist() == [0, 3000]


def test_keys_that_are_given(bench):
    send(bench, (0, "Z", 1.0, 1), (10, "B", 2.0, 1), (9000, "A", 3.0, 1))
    bench.ingest(grid(bench, keys=["A", "B"]))
    found = open_grid(bench.target)
    assert (found.keys, found["count"][0].tolist()) == (("A", "B"), [0, 1])
    assert [letter.offset for letter in bench.letters()] == [0]


def test_partitions_side_by_side(bench):
    send(bench, (0, "A", 1.0, 1), (8000, "A", 1.0, 1))
    send(bench, (2000, "B", 2.0, 1), (9000, "B", 1.0, 1), partition=1)
    bench.ingest(grid(bench))
    dataset = open_grid(bench.target).to_xarray()
    assert dataset["price"].dims == ("time", "key")
    assert float(dataset["price"].sel(key="B", time="2026-01-01T00:00:02")) == 2.0
    assert float(dataset["price"].sel(key="A", time="2026-01-01T00:00:00")) == 1.0


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"step": "1 parsec"}, "step is '1 parsec'"),
        ({"time": "when"}, "no column 'when'"),
        ({"time": "size"}, "no datetime64"),
        ({"values": {"price": "median"}}, "expected one of last, first"),
        ({"values": {"symbol": "sum"}, "key": None}, "'symbol' is string, and has no sum"),
        ({"lateness": "40d", "keys": 1000}, "keeps 3456001 slots of 1000 keys open"),
    ],
)
def test_a_grid_that_cannot_be(tmp_path, changes, expected):
    bench = FeedBench(f"sqlite:///{tmp_path}/queue.db", tmp_path)
    with pytest.raises(ConfigError, match=expected):
        grid(bench, **changes)


def bars(bench, **changes):
    return bench.feed(columns=COLUMNS, target={"layout": "bars"}, grid={**GRID, **changes})


def test_bars_are_rows_of_the_slots_that_have_records(bench):
    feed = bars(bench, values={"price": "ohlc", "size": "sum"})
    send(
        bench,
        (0, "A", 10.0, 1),
        (100, "B", 5.0, 1),
        (400, "A", 9.0, 3),
        (900, "A", 11.0, 4),
        (2500, "B", 6.0, 1),
    )
    bench.ingest(feed)
    send(bench, (2600, "C", None, 7), (950, "A", 11.5, 5), (60_000, "B", 6.5, 1), (90_000, "A", 2.0, 1))
    bench.ingest(feed)
    found = bench.streams()["p00000"]
    assert found.names == (
        *("time", "symbol", "count", "price_open", "price_high", "price_low", "price_close", "size"),
    )
    assert list((found["time"][:] - np.datetime64(START, "ms")) // np.timedelta64(1, "s")) == [0, 0, 2, 2, 60]
    assert found["symbol"][:].tolist() == ["A", "B", "B", "C", "B"]
    assert found["count"][:].tolist() == [4, 1, 1, 1, 1]
    assert found["size"][:].tolist() == [13, 1, 1, 7, 1]
    assert found["price_close"][:3].tolist() == [11.5, 5.0, 6.0]
    assert len(found.sel(time=slice("2026-01-01T00:00:02", None))) == 3
    assert all(each.ok for each in check_feed(bench.target, bench.broker))


def test_bars_of_one_key(bench):
    feed = bench.feed(
        columns=COLUMNS,
        target={"layout": "bars"},
        grid={"time": "at", "step": "1s", "values": {"size": "sum"}},
    )
    send(bench, (0, "A", 1.0, 1), (1, "B", 1.0, 2), (5000, "A", 1.0, 4), (9000, "A", 1.0, 8))
    bench.ingest(feed)
    assert bench.streams()["p00000"]["size"][:].tolist() == [3, 4]


def test_a_bar_that_is_closed_takes_no_replay(bench):
    feed = bars(bench)
    send(bench, (0, "A", 1.0, 1), (9000, "A", 1.0, 1), (100, "A", 1.0, 1))
    bench.ingest(feed)
    queue = DeadLetterQueue(bench.broker, f"{bench.topic}.dead")
    queue.replay(queue.ls())
    bench.ingest(feed)
    assert [letter.message for letter in bench.letters()] == ["a bar that is closed takes no replay"]
    assert all(each.ok for each in check_feed(bench.target, bench.broker))
