"""Streams on S3 servers: each object is put on a condition, and etags are made of the content."""

import numpy as np
import pytest

import streamzarr as sz
from streamzarr.errors import FencedError, PreconditionFailedError
from streamzarr.stream import Field, acquire
from streamzarr.testing import RecordingStore

SCHEMA = {
    "time": Field("M8[ms]", chunk_rows=5, sorted=True),
    "flag": Field("i4", chunk_rows=4, compressors=None),
    "frame": Field("f4", shape=(3, 4), chunk_rows=3, chunks=(3, 2)),
}


@pytest.fixture(autouse=True)
def no_probe(monkeypatch):
    """An emulator fails it now and then: its puts are not atomic under load."""
    monkeypatch.setattr(acquire, "probe_conditional_put", lambda store: None)


def rows(start, stop):
    n = np.arange(start, stop)
    frame = (n[:, None, None] + np.zeros((3, 4))).astype("f4")
    return {"time": n.astype("M8[ms]"), "flag": np.zeros(len(n), "i4"), "frame": frame}


def test_rows_come_back_and_nothing_is_listed(s3_store):
    store = RecordingStore(s3_store)
    for start, stop in [(0, 2), (2, 9)]:
        with sz.StreamWriter(store, "feeds/a", schema=SCHEMA, source="log") as writer:
            assert (writer.position or 0) == start
            writer.append(rows(start, stop), next_offset=stop)
    snapshot = sz.open_stream(store, "feeds/a")
    for name, values in rows(0, 9).items():
        np.testing.assert_array_equal(snapshot[name][:], values)
        assert sz.open_array(store, path=f"feeds/a/{name}").shape[0] == 9
    assert not [call for call in store.calls if "list" in call.operation or "stale" in call.operation]


def test_a_row_of_the_fill_value_makes_another_etag(s3_store):
    """Else a put that a fenced writer has sent long ago would find the etag that it expects."""
    writer = sz.StreamWriter(s3_store, schema=SCHEMA)
    writer.append(rows(0, 1))
    writer.commit()
    before = s3_store.head("flag/c/0").etag
    writer.append(rows(1, 2))
    writer.commit()
    with pytest.raises(PreconditionFailedError):
        s3_store.put("flag/c/0", b"\1" * 16, if_match=before)


def test_a_writer_of_the_past_is_fenced(s3_store):
    old = sz.StreamWriter(s3_store, schema=SCHEMA)
    old.append(rows(0, 2))
    old.commit()
    new = sz.StreamWriter(s3_store)
    new.append(rows(2, 3))
    new.commit()
    with pytest.raises(FencedError, match="epoch 2"):
        old.append(rows(100, 120))
    assert sz.open_stream(s3_store)["time"][:].tolist() == rows(0, 3)["time"].tolist()
