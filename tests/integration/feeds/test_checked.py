"""A feed's check tells sound targets from others, also where rows were given up or records have several."""

import json

import numpy as np
import pytest

from streamzarr.feeds import check_feed
from streamzarr.stream import retain
from tests.support.feeds import FeedBench

START = 1_767_225_600_000
COLUMNS = {"at": {"dtype": "datetime64[ms]", "unit": "ms"}, "price": "f8"}


@pytest.fixture
def bench(tmp_path):
    return FeedBench(f"sqlite:///{tmp_path}/queue.db", tmp_path, partitions=1)


def grid(bench):
    grid = {"time": "at", "step": "1s", "lateness": "3s"}
    return bench.feed(columns=COLUMNS, target={"layout": "grid", "chunk_rows": 10}, grid=grid)


def found(bench):
    [checked] = check_feed(bench.target, bench.broker)
    return checked


def test_records_whose_rows_were_given_up_are_not_missing(bench):
    bench.ticks(500)
    bench.ingest()
    assert retain(bench.target, "p00000", rows=100).first_row == 384
    assert found(bench).ok
    bench.ticks(100, 500)
    bench.ingest()
    assert (found(bench).ok, found(bench).verified) == (True, 216)


@pytest.mark.parametrize("kept", [500, 100])
def test_it_says_how_far_it_is(bench, kept):
    bench.ticks(500)
    bench.ingest()
    retain(bench.target, "p00000", rows=kept)
    said = []
    check_feed(bench.target, bench.broker, progress=lambda *each: said.append(each))
    assert said[-1][1] == 500
    assert said == sorted(said)
    assert said[-1][0] == 500


def test_slots_that_were_given_up_are_not_missing(bench):
    bench.send(*(json.dumps({"at": START + 500 * at, "price": 1.0}).encode() for at in range(400)))
    bench.ingest(grid(bench))
    assert retain(bench.target, "p00000", rows=30).first_row
    assert found(bench).ok


def test_records_of_several_rows_in_a_grid(bench):
    """Also where some are read again: they count once."""
    chance = np.random.default_rng(7)
    for turn in range(4):
        times = START + 20_000 * turn + 500 * np.arange(40)
        bench.send(
            *(
                json.dumps([{"at": int(at), "price": 1.0}] * int(chance.integers(1, 4))).encode()
                for at in times
            ),
            b"[]",
        )
        bench.ingest(grid(bench))
        assert found(bench).ok
    assert len(bench.letters()) == 4


@pytest.mark.parametrize("first", [30, 77, 100])
def test_slots_whose_records_were_trimmed_are_not_too_many(bench, first):
    bench.send(*(json.dumps({"at": START + 500 * at, "price": 1.0}).encode() for at in range(98)), b"{", b"")
    bench.ingest(grid(bench))
    assert (found(bench).ok, found(bench).verified, found(bench).dead) == (True, 100, 2)
    bench.broker.trim(bench.topic, {0: first})
    assert (found(bench).ok, found(bench).verified, found(bench).dead) == (True, 100 - first, 2)
