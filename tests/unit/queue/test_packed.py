"""Small values in one piece: what they are, what runs of them are, and what decoders make of them."""

from collections.abc import Sequence

import numpy as np
import pytest
from confluent_kafka import Message

from streamzarr.feeds.columns import ColumnSpec
from streamzarr.feeds.decode import Decoder, open_decoder
from streamzarr.feeds.rows import RowMaker
from streamzarr.queue.columns import Columns
from streamzarr.queue.kafka.columns import message_columns
from streamzarr.queue.packed import MOST_BYTES, Packed
from streamzarr.queue.record import TopicPartition

WHERE = TopicPartition("ticks", 0)
VALUES = [b"one", b"", b"t\nw\no", b"\n", b"three"]


def packed(values: Sequence[bytes]) -> Packed:
    found = Packed.of(values)
    assert found is not None
    return found


def run_of(values: Sequence[bytes | None], first: int = 0, *, pack: bool = True) -> Columns:
    found = Packed.of(values) if pack else None
    offsets = range(first, first + len(values))
    return Columns(WHERE, offsets, None, found or list(values), None, [0] * len(values))


def test_values_come_out_as_they_went_in() -> None:
    for values in (VALUES, [b""], [b"\n"], [b"a", b"b"]):
        found = packed(values)
        assert list(found) == found.unpacked() == values
        assert [found[at] for at in range(len(values))] == values
        assert found[-1] == values[-1]
        for start in range(len(values) + 1):
            for stop in range(start, len(values) + 1):
                assert list(found[start:stop]) == values[start:stop]


def test_what_has_no_value_or_is_large_is_not_packed() -> None:
    assert Packed.of([b"a", None]) is None
    assert Packed.of([bytes(MOST_BYTES + 1)]) is None
    assert Packed.of([b"", bytes(2 * MOST_BYTES + 1)]) is None
    assert Packed.of([b"", bytes(2 * MOST_BYTES)]) is not None


def test_runs_are_the_same_packed_or_not() -> None:
    run, plain = run_of(VALUES, 7), run_of(VALUES, 7, pack=False)
    assert run.packed is not None
    assert plain.packed is None
    assert (run.nbytes, run.sizes, len(run)) == (plain.nbytes, plain.sizes, len(plain))
    assert run.fitting(10, 9) == plain.fitting(10, 9)
    assert run[1:4].values == plain[1:4].values
    assert run.record(2) == plain.record(2)
    joined = run.joined(run_of([b"x\n", b"y"], 12))
    assert joined.packed is not None
    assert joined.values == [*VALUES, b"x\n", b"y"]
    assert joined.nbytes == run.nbytes + 3
    assert joined[4:6].values == [b"three", b"x\n"]
    assert run.values == VALUES
    assert run.joined(run_of([b"x", None], 12)).values == [*VALUES, b"x", None]


def test_messages_become_packed_runs_where_that_was_asked_for() -> None:
    messages = [
        Message(topic="ticks", partition=at // 3, offset=at % 3, value=value, timestamp=(1, 5))
        for at, value in enumerate([b"a", b"b", b"c", b"d", bytes(2000), b"f"])
    ]
    small, large = message_columns(messages, topics=1, packed=True)
    assert small.packed is not None
    assert large.packed is None
    assert [each.values for each in message_columns(messages, topics=1)] == [small.values, large.values]
    messages[1] = Message(topic="ticks", partition=0, offset=1, timestamp=(1, 5))
    assert next(message_columns(messages, topics=1, packed=True)).values == [b"a", None, b"c"]


def decoders() -> list[tuple[Decoder, list[list[bytes]]]]:
    columns = {"n": ColumnSpec("n", "i8"), "bid": ColumnSpec("bid", "f4")}
    struct = open_decoder("struct", columns, dtype=[["n", "<u2"], ["bid", "<f4"]])
    ticks = {"n": ColumnSpec("n", "i8", source="of.n"), "bid": ColumnSpec("bid", "f4", source="prices.1")}
    nested = open_decoder("struct", ticks, dtype=[["of", [["n", "<u2"]]], ["prices", "<f4", [2]]])
    json = open_decoder("json", columns)
    csv = open_decoder("csv", columns)
    good = [b'{"n":%d,"bid":%d.5}' % (at, at) for at in range(50)]
    return [
        (
            struct,
            [
                [bytes([1, 0, 0, 0, 128, 63]), bytes([10] * 6)],
                [bytes(range(at, at + 18)) for at in range(9)],
                [bytes([10] * 12)],
                [bytes(6), b"12", bytes(12), b""],
            ],
        ),
        (nested, [[bytes(range(at, at + 10 * each)) for at in range(7)] for each in (1, 3)]),
        (
            json,
            [
                good,
                good[:9],
                [*good, b'{"n":1,\n"bid":2}'],
                [*good, b"", b"no"],
                [b"[%b]" % good[0], good[1]],
            ],
        ),
        (csv, [[b"1,2.5", b"x,1"]]),
    ]


@pytest.mark.parametrize("at", range(4))
def test_decoders_make_the_same_of_both(at: int) -> None:
    decode, batches = decoders()[at]
    make = RowMaker({"n": ColumnSpec("n", "i8"), "bid": ColumnSpec("bid", "f4")}, decode)
    for values in batches * 2:
        rows, plain = make.rows(run_of(values)), make.rows(run_of(values, pack=False))
        assert rows.bad == plain.bad
        np.testing.assert_equal(rows.records(), plain.records())
        for name, column in plain.columns.items():
            np.testing.assert_equal(rows.columns[name], column)
            assert rows.columns[name].dtype == column.dtype
