"""Reads of S3: what is asked of the server, and by which way."""

import os

import pytest

from streamzarr.errors import KeyNotFoundError, StoreError
from streamzarr.stores import RangeRequest, SuffixRequest, s3_client, s3_retry
from tests.support.s3_hooks import Answers, Recorder, hooked


def test_reading_never_lists(s3_store):
    s3_store.put("a/b", b"0123456789")
    recorder = Recorder()
    with hooked(s3_store, "before-send.s3", recorder):
        s3_store.get("a/b")
        s3_store.get("a/b", RangeRequest(2, 5))
        s3_store.get_into("a/b", bytearray(10))
        s3_store.get_ranges("a/b", [RangeRequest(0, 1), SuffixRequest(1)])
        s3_store.exists("a")
        s3_store.exists("a/b")
    assert set(recorder.operations) == {"GetObject", "HeadObject"}


def test_near_ranges_are_one_request(s3_store):
    value = os.urandom(1 << 20)
    s3_store.put("shard", value)
    ranges = [RangeRequest(start, start + 1000) for start in range(0, 500_000, 5000)]
    recorder = Recorder()
    with hooked(s3_store, "before-send.s3", recorder):
        assert s3_store.get_ranges("shard", ranges) == [value[r.start : r.stop] for r in ranges]
    assert recorder.operations == ["GetObject"]


def test_ranges_of_one_call_are_of_one_version(s3_store):
    s3_store.put("shard", b"1" * (1 << 20))
    replaced = []

    def replace(request, **_):
        if not replaced and b"bytes=-" not in request.headers.get("Range", b""):
            replaced.append(True)
            s3_store.put("shard", b"2" * (1 << 20))

    with hooked(s3_store, "before-send.s3.GetObject", replace):
        parts = s3_store.get_ranges(
            "shard", [SuffixRequest(10), RangeRequest(0, 10), RangeRequest(900_000, 900_010)]
        )
    assert replaced
    assert parts == [b"2" * 10] * 3


def test_a_server_that_knows_no_ranges(s3_store):
    s3_store.put("a", b"0123456789")

    def forget(request, **_):
        del request.headers["Range"]

    with hooked(s3_store, "before-sign.s3.GetObject", forget):
        assert s3_store.get("a", RangeRequest(2, 5)) == b"234"
        assert s3_store.get("a", SuffixRequest(3)) == b"789"
        assert s3_store.get("a", RangeRequest(20)) == b""


def test_a_server_that_sends_too_much_is_an_error(s3_store):
    s3_store.put("a", b"0123456789")
    headers = {"content-range": "bytes 6-9/10", "content-length": "4", "etag": '"x"'}
    with (
        hooked(s3_store, "before-send.s3.GetObject", Answers((206, b"6789", headers))),
        pytest.raises(StoreError, match="4 bytes for"),
    ):
        s3_store.get("a", SuffixRequest(3))


def test_an_answer_cut_off_is_asked_for_again(s3_store, monkeypatch):
    monkeypatch.setattr(s3_retry, "pause", lambda attempt: None)
    s3_store.put("a", b"0123456789")
    cut = (200, b"01234", {"content-length": "10", "etag": '"x"'})
    with hooked(s3_store, "before-send.s3.GetObject", Answers(cut, cut)):
        assert s3_store.get("a") == b"0123456789"
    with (
        hooked(s3_store, "before-send.s3.GetObject", Answers(*[cut] * 50)),
        pytest.raises(StoreError, match="'a'"),
    ):
        s3_store.get("a")


class Boto:
    """Counts what goes through boto3, and leaves the short way open."""

    def __init__(self, store):
        self.events = store._client.boto.meta.events
        self.count = 0

    def __call__(self, **_):
        self.count += 1

    def __enter__(self):
        self.events.register("before-send.s3", self)
        return self

    def __exit__(self, *_):
        self.events.unregister("before-send.s3", self)


@pytest.fixture
def fresh_client(monkeypatch):
    monkeypatch.setattr(s3_client, "_clients", {})


def test_after_the_first_read_boto3_is_not_asked(s3_store, fresh_client):
    s3_store.put("a/ü b+c%20", b"0123456789")
    assert s3_store.get("a/ü b+c%20") == b"0123456789"
    with Boto(s3_store) as boto:
        assert s3_store.get("a/ü b+c%20") == b"0123456789"
        assert s3_store.get("a/ü b+c%20", SuffixRequest(2)) == b"89"
        assert s3_store.get_into("missing", bytearray(1)) is None
        with pytest.raises(KeyNotFoundError):
            s3_store.get("missing")
    assert boto.count == 0
