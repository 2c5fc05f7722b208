"""Columns, and the bounds of what a poll takes, against records in plain lists."""

from itertools import groupby, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamzarr.queue import Record
from streamzarr.queue.columns import Portion, columns_of
from streamzarr.queue.kafka.columns import columns

payloads = st.none() | st.binary(max_size=12)
headers = st.lists(st.tuples(st.text("ab", max_size=3), st.binary(max_size=3)), max_size=2).map(tuple)


@st.composite
def records_of_one_partition(draw):
    offsets = sorted(draw(st.sets(st.integers(0, 99), min_size=1, max_size=12)))
    return [
        Record("t", 3, offset, draw(payloads), draw(payloads), draw(headers), draw(st.integers(-5, 2**40)))
        for offset in offsets
    ]


def size(record):
    parts = [record.value or b"", record.key or b"", *(part for header in record.headers for part in header)]
    return sum(map(len, parts))


class Message:
    """A record, as librdkafka hands it over."""

    def __init__(self, record):
        self.record = record

    def topic(self):
        return self.record.topic

    def partition(self):
        return self.record.partition

    def offset(self):
        return self.record.offset

    def key(self):
        return self.record.key

    def value(self):
        return self.record.value

    def headers(self):
        return list(self.record.headers) or None

    def timestamp(self):
        return 1, self.record.timestamp


@pytest.fixture(autouse=True, scope="module")
def messages_of_ours():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streamzarr.queue.kafka.columns.Message", Message)
        yield


def each_kind(records):
    yield from columns_of(records)
    yield columns([Message(record) for record in records])


@given(records_of_one_partition(), st.data())
def test_every_piece_of_every_kind_is_its_records(records, data):
    start = data.draw(st.integers(0, len(records) - 1))
    stop = data.draw(st.integers(start + 1, len(records)))
    for whole in each_kind(records):
        if data.draw(st.booleans()):
            assert whole.nbytes == sum(map(size, records))  # what is kept of it must not show in the piece
        run, expected = whole[start:stop], records[start:stop]
        assert run.records() == expected
        assert all(type(record) is Record for record in run.records())
        assert len(run) == len(expected)
        assert (run.where, run.first, run.stop) == (("t", 3), expected[0].offset, expected[-1].offset + 1)
        assert (run.offsets.dtype, run.timestamps.dtype) == (np.dtype("int64"),) * 2
        fields = run.offsets.tolist(), run.keys, run.values, run.headers, run.timestamps.tolist()
        assert list(zip(*fields, strict=True)) == [record[2:] for record in expected]
        assert run.sizes == list(map(size, expected))
        assert run.nbytes == sum(run.sizes)
        assert [run.record(n) for n in range(-len(run), len(run))] == expected * 2


@given(records_of_one_partition(), st.integers(0, 15), st.none() | st.integers(0, 80))
def test_fitting_counts_the_longest_beginning_within_both_bounds(records, max_records, max_bytes):
    longest = 0
    for count in range(len(records) + 1):
        fits = max_bytes is None or sum(map(size, records[:count])) <= max_bytes
        longest = count if count <= max_records and fits else longest
    for run in each_kind(records):
        assert run.fitting(max_records, max_bytes) == longest


@given(st.lists(records_of_one_partition(), max_size=4), st.integers(0, 20), st.none() | st.integers(0, 120))
def test_a_portion_is_the_longest_beginning_of_all_and_the_first_record_at_least(
    lists, max_records, max_bytes
):
    portion, left = Portion(max_records, max_bytes), []
    for records in lists:
        [run] = columns_of(records)
        rest = portion.take(run)
        left += [] if rest is None else rest.records()
    everything = [record for records in lists for record in records]
    taken = [record for run in portion.runs for record in run.records()]
    assert taken + left == everything

    expected, nbytes = [], 0
    for record in everything[:max_records]:
        nbytes += size(record)
        if expected and max_bytes is not None and nbytes > max_bytes:
            break
        expected.append(record)
    assert taken == expected
    assert portion.full or not left


def test_nothing_comes_with_a_first_record_that_is_larger_than_the_bound():
    portion = Portion(max_records=10, max_bytes=3)
    [large], [empty] = (
        list(columns_of([Record("t", 0, n, None, v, (), 0)])) for n, v in [(0, b"1234"), (1, b"")]
    )
    assert portion.take(large) is None
    assert portion.take(empty) is empty
    assert portion.runs == [large]


@given(st.lists(st.sampled_from([("t", 0), ("t", 1), ("u", 0)]), max_size=12))
def test_columns_of_records_are_a_run_for_each_stretch_of_a_partition(places):
    records = [Record(*place, n, None, b"", (), 0) for n, place in enumerate(places)]
    runs = list(columns_of(records))
    assert [record for run in runs for record in run.records()] == records
    assert [run.where for run in runs] == [place for place, _ in groupby(places)]


@given(records_of_one_partition(), st.data())
def test_pieces_joined_are_the_whole(records, data):
    cuts = sorted(data.draw(st.sets(st.integers(1, len(records)), max_size=4)) | {0, len(records)})
    for whole in each_kind(records):
        pieces = [whole[start:stop] for start, stop in pairwise(cuts)]
        joined = pieces[0].joined(*pieces[1:])
        assert joined.records() == records
        assert joined.offsets.tolist() == [record.offset for record in records]
        assert joined.nbytes == sum(map(size, records))
        assert (joined.first, joined.stop) == (records[0].offset, records[-1].offset + 1)
