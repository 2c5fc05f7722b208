"""The commit record: what is written is read, and anything else is refused in a sentence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamzarr.errors import LimitExceededError, MetadataError
from streamzarr.stream.record import MAX_NAMES, CommitRecord
from streamzarr.stream.standing import Standing, standing

NUMBERS = st.integers(0, 2**63 - 1)
TEXTS = st.text(min_size=1, max_size=1000)
RECORDS = st.builds(
    lambda first, rows, **rest: CommitRecord(first_row=min(first, rows), rows=rows, **rest),
    first=NUMBERS,
    rows=NUMBERS,
    epoch=NUMBERS,
    seq=NUMBERS,
    time_ns=NUMBERS,
    writer=TEXTS,
    commit_id=TEXTS,
    stream=st.none() | TEXTS,
    source=st.none() | TEXTS | st.dictionaries(TEXTS, TEXTS | NUMBERS, max_size=3),
    position=st.none() | NUMBERS | st.dictionaries(TEXTS, NUMBERS, max_size=3),
    since=st.dictionaries(TEXTS, NUMBERS, max_size=3),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
GOOD = CommitRecord(epoch=2, seq=5, rows=50, time_ns=9, writer="h:1:a", commit_id="c", position=3).to_json()


@given(RECORDS)
def test_what_is_written_is_read(record):
    assert CommitRecord.from_json(record.to_json(), "a.zarr") == record


@given(st.sampled_from([*GOOD, "stream", "source", "since", "more"]), JSON)
def test_whatever_is_there_is_a_record_or_refused(name, value):
    try:
        record = CommitRecord.from_json(GOOD | {name: value}, "a.zarr")
    except (MetadataError, LimitExceededError):
        pass
    else:
        assert CommitRecord.from_json(record.to_json(), "a.zarr") == record


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "version is 2, expected 1"),
        ({"version": True}, "version is True, expected 1"),
        ({"rows": -1}, r"rows: expected an integer from 0 to 2\^63-1, got -1"),
        ({"rows": True}, "rows: expected an integer"),
        ({"rows": 2**63}, "rows: expected an integer"),
        ({"first_row": 51}, "first_row 51 is behind the last of 50 rows"),
        ({"commit_id": ""}, "commit_id: expected a text, got ''"),
        ({"writer": "x" * 1001}, "writer: 1001 characters, at most 1000 allowed"),
        ({"position": {"a": 1.5}}, "position: a: expected an integer"),
        ({"position": [1]}, "position: expected an integer"),
        ({"source": 7}, "source: expected names and their values, got 7"),
        ({"since": dict.fromkeys(map(str, range(MAX_NAMES + 1)), 0)}, "since: 10001 names"),
        ({"offsets": {}}, "unknown key 'offsets'"),
    ],
)
def test_what_is_wrong_is_named(change, message):
    with pytest.raises((MetadataError, LimitExceededError), match=message):
        CommitRecord.from_json(GOOD | change, "a.zarr")


@pytest.mark.parametrize("document", [None, [], "record", 7])
def test_what_is_no_record_is_refused(document):
    with pytest.raises(MetadataError, match="expected a commit record"):
        CommitRecord.from_json(document, "a.zarr")


def record(epoch, seq, commit_id, stream="one"):
    return CommitRecord(
        epoch=epoch, seq=seq, rows=0, time_ns=0, writer="w", commit_id=commit_id, stream=stream
    )


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (record(2, 5, "ours"), Standing.OURS),
        (record(2, 9, "ours"), Standing.OURS),  # maintenance counts its own commits
        (record(2, 6, "lost"), Standing.COMMITTED),
        (record(2, 4, "older"), Standing.SET_BACK),
        (record(1, 9, "older"), Standing.SET_BACK),
        (record(2, 6, "other"), Standing.FENCED),
        (record(2, 5, "other"), Standing.FENCED),
        (record(3, 5, "ours"), Standing.FENCED),
        (record(2, 4, "new", "another"), Standing.FENCED),
        (record(1, 1, "new", "another"), Standing.FENCED),
        (record(1, 1, "new", None), Standing.FENCED),
        (None, Standing.FENCED),
    ],
)
def test_how_a_writer_stands_to_what_it_finds(found, expected):
    assert standing(found, record(2, 5, "ours"), {"lost"}) is expected
