"""Messages as other programs write them: marks at the beginning, long fields, numbers for names."""

from codecs import BOM_UTF8

import msgspec
import numpy as np
import pytest

from streamzarr.feeds.decode import open_decoder
from streamzarr.limits import Limits
from tests.support.decoding import specs

BOTH = pytest.mark.parametrize("arrow", [True, False])
X = specs(x="i8")


@BOTH
@pytest.mark.parametrize(
    ("message", "options", "rows"),
    [
        (b'{"x": 1}', {}, 1),
        (b'[{"x": 1}, {"x": 2}]', {}, 2),
        (b'{"x": 1}\n{"x": 2}', {"lines": True}, 2),
        (b'{"r": [{"x": 1}]}', {"records": "r"}, 1),
    ],
)
def test_a_mark_at_the_beginning_of_json_is_no_part_of_it(arrow, message, options, rows):
    decode = open_decoder("json", X, arrow=arrow, **options)
    for _ in range(2):
        found = decode([message, BOM_UTF8 + message, BOM_UTF8 * 2 + message])
        assert found.columns["x"].tolist() == [1, 2][:rows] * 2
        assert found.bad.keys() == {2}


@BOTH
def test_a_mark_at_the_beginning_of_csv_is_no_part_of_it(arrow):
    decode = open_decoder("csv", specs(name="string", x="i8"), arrow=arrow)
    plain, quoted = BOM_UTF8 + b"EUR,1", BOM_UTF8 + b'"E,R",1'
    for batch in ([plain, b"EUR,1"], [b"EUR,1", plain]):
        assert decode(batch).columns["name"].tolist() == ["EUR", "EUR"]
    assert decode([quoted]).columns["name"].tolist() == ["E,R"]
    assert decode([b"a" + plain]).columns["name"].tolist() == ["a\ufeffEUR"]


@BOTH
@pytest.mark.parametrize("quote", [b"", b'"'])
def test_a_field_of_csv_may_be_as_long_as_its_message(arrow, quote):
    decode = open_decoder("csv", specs(name="string", x="i8"), arrow=arrow)
    message = quote + b"n" * 500_000 + quote + b",1"
    assert decode([message]).columns["name"].tolist() == ["n" * 500_000]


@BOTH
def test_a_message_of_csv_is_bounded(arrow):
    decode = open_decoder("csv", X, arrow=arrow, limits=Limits(max_message_bytes=100))
    found = decode([b"1", b"0" * 101, b"2"])
    assert found.columns["x"].tolist() == [1, 2]
    assert found.bad == {1: "csv: got 101 bytes, expected 100 at most"}


@BOTH
def test_names_that_are_numbers(arrow):
    columns = specs(symbol=("string", {"source": "55"}), price=("f8", {"source": "270"}))
    message = b'{"55": "EUR", "270": 1.5, "35": "W"}'
    decode = open_decoder("json", columns, arrow=arrow)
    for _ in range(2):
        found = decode([message] * 2)
        assert (found.columns["symbol"].tolist(), found.bad) == (["EUR"] * 2, {})
    strict = open_decoder("json", columns, arrow=arrow, unknown="error")
    assert strict([message]).bad == {0: "record: got the field '35', which no column takes"}


def test_numbers_for_names_in_messagepack():
    columns = specs(symbol=("string", {"source": "1"}), price=("f8", {"source": "2.7"}))
    message = msgspec.msgpack.encode({1: "EUR", 2: {7: 1.5}, 3: 0})
    found = open_decoder("msgpack", columns)([message])
    assert (found.columns["price"].tolist(), found.bad) == ([1.5], {})
    strict = open_decoder("msgpack", columns, unknown="error")
    assert strict([message]).bad == {0: "record: got the field '3', which no column takes"}


@BOTH
@pytest.mark.parametrize("zero", ["-0", "-0.0", "-0e5", "-0E-3"])
@pytest.mark.parametrize("lines", [False, True])
def test_minus_zero_keeps_its_sign_in_columns_of_floats(arrow, lines, zero):
    columns = specs(
        x="f8", n="i8", t="M8[ms]", d=("f4", {"source": "d.0"}), p=("i8", {"decimals": 2}), s="string"
    )
    text = r'"1e-0 -0, \\\" -0"'
    first = f'{{"x": {zero}, "n": {zero},"t":{zero}, "d": [{zero}], "p": {zero}, "s": {text}}}'.encode()
    second = b'{"x": 1e-0, "n": 1, "t": 5, "d": [-0.5], "p": 0, "s": "-0"}'
    bad = [b'{"x": 5-0}', b'{"x": -0, "s": "\\']
    decode = open_decoder("json", columns, arrow=arrow, lines=lines)
    for batch in ([first] * 3, [second, first], [first, *bad, second]):
        for _ in range(2):
            found = decode(batch)
            zeros = [each == first for each in batch if each not in bad]
            assert found.rows == len(zeros)
            assert np.signbit(found.columns["x"]).tolist() == zeros
            assert np.signbit(found.columns["d"]).all()
            assert found.columns["n"].tolist() == [0 if zero else 1 for zero in zeros]
            assert found.columns["s"].tolist() == [r"1e-0 -0, \" -0" if zero else "-0" for zero in zeros]


@pytest.mark.parametrize("end", [b'\\"' * 2_000_000, b'"' * 2_000_001, b"-0" * 2_000_000])
def test_a_message_that_is_hard_to_read_is_bad_at_once(end):
    found = open_decoder("json", specs(x="f8"))([b'{"x": -0, "s": "' + end])
    assert found.bad.keys() == {0}
