"""One message of a key at a time, in order, whatever fails."""

from collections import Counter

import pytest

from streamzarr.errors import StoreError
from streamzarr.flow import Spill, ops
from tests.support.keyed import FAST, Recorder, by_first, go, numbered

SPILLS = [None, Spill(share=1), Spill(share=3, max_bytes=2_000), Spill(share=2, max_bytes=60)]


@pytest.mark.parametrize("spill", SPILLS)
@pytest.mark.parametrize("demand", [1, 7, 64])
def test_messages_of_a_key_run_one_at_a_time_in_order(spill, demand):
    fn = Recorder()
    items = numbered(b"aaaaaabcaadaaaebbbcaaaa" * 10)
    report, seen = go(
        items, ops.partition_by(by_first), ops.dispatch(fn, workers=4, by="key", spill=spill), demand=demand
    )
    assert report.ok == len(items)
    assert set(fn.most.values()) == {1}
    for key, order in fn.order.items():
        assert order == [item for item in items if item[:1] == key]
        assert [m.data for m in seen if m.key == key] == order


@pytest.mark.parametrize("spill", [None, Spill(share=2)])
def test_a_message_that_is_tried_again_keeps_its_place_in_its_key(spill):
    attempts = Counter()

    def flaky(data):
        attempts[data] += 1
        if int(data[1:]) % 3 == 0 and attempts[data] < 3:
            raise StoreError("503")

    fn = Recorder(flaky)
    items = numbered(b"aabaac" * 8)
    report, seen = go(
        items, ops.partition_by(by_first), ops.dispatch(fn, workers=3, by="key", retry=FAST, spill=spill)
    )
    assert report.ok == len(items)
    assert set(fn.most.values()) == {1}
    for key in (b"a", b"b", b"c"):
        assert [m.data for m in seen if m.key == key] == [item for item in items if item[:1] == key]


def test_a_failed_message_lets_the_next_of_its_key_go():
    def fn(data):
        raise ValueError(data)

    report, _ = go(numbered(b"aab"), ops.partition_by(by_first), ops.dispatch(fn, workers=2, by="key"))
    assert report.failed == 3


def test_a_key_that_cannot_be_hashed_fails_its_message_only():
    report, seen = go([[1], b"ok"], ops.partition_by(lambda data: data), ops.dispatch(len, by="key"))
    assert (report.ok, report.failed) == (1, 1)
    assert [m.failure.stage for m in seen if m.failure] == ["partition_by"]
