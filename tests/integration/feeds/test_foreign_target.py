"""A target that holds something else: processes are not started again, as they would find the same."""

import json

import pytest

import streamzarr as sz
from streamzarr.errors import ConfigError
from tests.support.feeds import FeedBench


def an_array(target):
    sz.create_array(str(target), shape=(3,), dtype="i4")


def a_group_of_zarr_2(target):
    (target / "p00000").mkdir(parents=True)
    (target / "p00000" / ".zgroup").write_text(json.dumps({"zarr_format": 2}))


def damaged(target):
    target.mkdir()
    (target / "zarr.json").write_text("{")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (an_array, "is an array; nothing can be created below it"),
        (a_group_of_zarr_2, "a group is already at"),
        (damaged, r"zarr\.json: not a JSON document"),
    ],
)
def test_what_holds_something_else_ends_the_feed_at_once(tmp_path, make, reason):
    bench = FeedBench(f"sqlite:///{tmp_path}/queue.db", tmp_path, partitions=1)
    bench.ticks(3)
    make(tmp_path / "feed.zarr")
    with pytest.raises(ConfigError, match=reason), sz.FeedFleet(bench.feed()) as fleet:
        fleet.wait_caught_up(timeout=120)
