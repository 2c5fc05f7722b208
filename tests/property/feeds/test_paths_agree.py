"""pyarrow's readers and the exact ones give the same rows and the same reasons."""

import json
from dataclasses import replace
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamzarr.feeds.decode import json_arrow, open_decoder
from streamzarr.feeds.decode.json_ import JsonDecoder
from tests.support.decoding import assert_same, decoded_soundly, share, specs

pytest.importorskip("pyarrow")

SCALARS = st.one_of(
    st.integers(-5, 300),
    st.sampled_from([2**53 + 1, 2**63, 2**64, -(2**63)]),
    st.floats(),
    st.floats(-10, 10).map(lambda x: round(x, 2)),
    st.none(),
    st.booleans(),
    st.text(max_size=3),
    st.sampled_from(["1.5", "2020-01-01", "2020-01-01T00:00:00Z", "true", "\ud800", "naïve"]),
)
VALUES = (
    SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(st.sampled_from("bqz"), SCALARS, max_size=2)
)
RAW = st.sampled_from(
    [
        *(b"", b"{}", b"[]", b"null", b"5", b"{", b"\xff", b'[{"a":1}]', b'{"a":[[[[1]]]]}', b'{"z":1e999}'),
        *(
            b'{"a":1}{"a":2}',
            b'{"a":1',
            b',"b":2}',
            b'{"a":-0}',
            b'{"a":NaN}',
            b'{"a":1,"a":2}',
            b'{"a":1}\r',
        ),
        *(b'{"a":1}\n', b'{"a":1}\n{"a":2}', b'{"a":{"b":1', b"}}", b'{"b":"\xff"}', b'{"a":"\\ud800"}'),
        *(b'\xef\xbb\xbf{"a":1}', b'{"\\u0061":1}'),
    ]
)

PLAIN = specs(
    a=("f8", {"required": False}),
    n=("i4", {"required": False, "fill": -1}),
    t=("M8[ns]", {"required": False, "unit": "s"}),
    s=("string", {"required": False}),
    p=("i8", {"decimals": 2, "required": False}),
    flag=("?", {"required": False}),
    deep=("f4", {"source": "d.b", "required": False}),
    first=("f8", {"source": "l.0", "required": False}),
)
RECORDS = specs(p=("f8", {"required": False}), q=("u8", {"required": False}), at=("i8", {"source": "$.seq"}))
KEYS = ["a", "n", "t", "s", "p", "flag", "d", "l", "q", "z"]
TYPICAL = {
    "a": st.floats(-1e3, 1e3),
    "n": st.integers(0, 99),
    "t": st.integers(0, 2**31) | st.floats(0, 2e9).map(lambda x: round(x, 3)),
    "s": st.text(max_size=3),
    "p": st.floats(0, 100).map(lambda x: round(x, 2)),
    "flag": st.booleans(),
    "d": st.fixed_dictionaries({"b": st.floats(0, 1)}),
    "l": st.lists(st.floats(0, 1), min_size=1, max_size=3),
}
typical = st.fixed_dictionaries(TYPICAL)
odd = st.builds(
    lambda record, more: record | more, typical, st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=2)
)


def dumped(value):
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value).encode()


def batches(records):
    """Batches that are all right, with one record that is odd, or with anything."""
    fine = st.lists(records.map(dumped), min_size=1, max_size=6)
    anything = st.lists(odd.map(dumped) | RAW | st.binary(max_size=8) | st.none(), max_size=4)
    return fine | st.builds(lambda a, b, c: a + b + c, fine, anything, fine)


def assert_agree(columns, batch, **options):
    expected = decoded_soundly(JsonDecoder(columns, arrow=False, **options), batch)
    for block in (json_arrow.BLOCK, 16):  # in one piece, and in some that threads share
        quick = JsonDecoder(columns, **options)
        with mock.patch.object(json_arrow, "BLOCK", block):
            for _ in range(2):  # the second time it knows what to look for
                assert_same(decoded_soundly(quick, batch), expected, len(batch))


@settings(max_examples=share(100))
@given(batches(typical), st.sampled_from(["ignore", "error"]))
def test_json_records(batch, unknown):
    assert_agree(PLAIN, batch, unknown=unknown)


@settings(max_examples=share(100))
@given(batches(st.lists(typical, max_size=3)), st.sampled_from([None, "."]))
def test_json_arrays_of_records(batch, records):
    assert_agree(PLAIN, batch, records=records)


trades = st.lists(
    st.fixed_dictionaries({"p": st.floats(0, 9), "q": st.integers(0, 9)}) | st.fixed_dictionaries({}),
    max_size=3,
)


@settings(max_examples=share(100))
@given(
    batches(st.fixed_dictionaries({"seq": st.integers(0, 9), "d": st.fixed_dictionaries({"l": trades})})),
    st.sampled_from(["d.l", "l"]),
)
def test_json_records_below_a_path(batch, records):
    assert_agree(RECORDS, batch, records=records)


@settings(max_examples=share(30))
@given(
    batches(st.lists(st.lists(st.floats(0, 9), min_size=2, max_size=3), max_size=3)),
    st.sampled_from([None, "."]),
)
def test_json_records_that_are_arrays(batch, records):
    columns = specs(price=("f8", {"source": "0"}), size=("f8", {"source": "1", "required": False}))
    assert_agree(columns, batch, records=records)


NUMBERS = specs(
    q=("i8", {"decimals": 8, "required": False}),
    n=("i8", {"required": False}),
    t=("M8[ns]", {"unit": "us", "required": False}),
    up=("?", {"required": False}),
    s=("string", {"required": False}),
    a=("f8", {"required": False}),
)
WHOLE = st.sampled_from([0, 1, 2, 3, 12_345_678, 20_000_000, 10**15, 2**53 - 1, 2**53, 2**53 + 1, 2**63])
number = (
    WHOLE | WHOLE.map(float) | st.floats(0, 10).map(lambda x: round(x, 2)) | st.sampled_from(["1", "0.5"])
)


@settings(max_examples=share(100))
@given(st.lists(st.lists(st.dictionaries(st.sampled_from("qntusa"), number), min_size=1), max_size=5))
def test_json_numbers_after_others_of_another_kind(batches):
    quick, exact = JsonDecoder(NUMBERS), JsonDecoder(NUMBERS, arrow=False)
    for records in batches:
        batch = [dumped({"up" if name == "u" else name: each[name] for name in each}) for each in records]
        got, expected = decoded_soundly(quick, batch), decoded_soundly(exact, batch)
        same_reasons = replace(got, bad=expected.bad)  # one may say 3.0 where the other says 3
        assert got.bad.keys() == expected.bad.keys()
        assert_same(same_reasons, expected, len(batch))


def test_texts_with_a_minus_and_a_zero_are_parsed_by_pyarrow():
    decoder = JsonDecoder(specs(id="string", a="f8"))
    batch = [b'{"id": "3f2504e0-4f89-0ad3-9a0c-0305e82c3301", "a": 1.5}'] * 9
    decoder(batch)
    decoder._exact = None
    assert decoder(batch).rows == 9


def test_json_is_parsed_by_pyarrow_where_nothing_is_odd():
    """Else the tests above would compare the exact decoder with itself."""
    decoder = JsonDecoder(PLAIN)
    batch = [
        dumped({"a": 1.5, "n": 1, "t": 5, "s": "x", "p": 1.25, "flag": True, "d": {"b": 1.5}, "l": [2.5]})
    ] * 9
    decoder(batch)
    decoder._exact = None
    assert decoder(batch).rows == 9
    with mock.patch.object(json_arrow, "BLOCK", 16):
        assert decoder(batch).rows == 9
    nested = JsonDecoder(RECORDS, records="d.l")
    batch = [
        b'{"seq": 1, "d": {"l": [{"p": 1.5, "q": 2}, {"p": 2.5, "q": 2}]}}',
        b'{"seq": 2, "d": {"l": []}}',
    ]
    nested(batch)
    nested._exact = None
    assert nested(batch).columns["at"].tolist() == [1, 1]


FIELDS = st.one_of(
    st.floats(-10, 10).map(lambda x: repr(round(x, 2))),
    st.integers(-(2**63), 2**64).map(str),
    st.sampled_from(
        ["", " ", "nan", "-inf", "1e999", "0x10", "a b", "naïve", "-0", "+5", "1.0", '"q"', '"a']
    ),
    st.sampled_from(["2020-01-01", " 1.5", "1_0", "true", "NA", "1,2", "NULL", "#N/A"]),
    st.text(max_size=3),
)
LINES = st.lists(FIELDS, max_size=6).map(lambda fields: ",".join(fields).encode(errors="replace"))


@settings(max_examples=share(120))
@given(
    st.lists(LINES | st.sampled_from([None, b"\xff", b"1,2\n3,4", b"\r\n", b'"a\nb",1']), max_size=5)
    | st.lists(
        st.tuples(st.floats(0, 9), st.integers(0, 9)).map(lambda t: b"%r,%d,x,2020-01-01,1.25" % t)
        | st.sampled_from([b"", b"-nan(ind),1,x,2020-01-01,1.25", b"1,1,NAN(x),2020-01-01,1.25"]),
        max_size=5,
    ),
    st.sampled_from(["ignore", "error"]),
)
@example([b"1.5,2,x,2020-01-01,1.25", b""], "ignore")
@example([b"", b"1.5,2,x,2020-01-01,1.25"], "ignore")
@example([b"nan(ind),2,x,2020-01-01,1.25"], "ignore")
def test_csv(batch, unknown):
    columns = specs(
        a=("f8", {"required": False, "missing": ("NA",)}),
        n=("i8", {"required": False}),
        s=("U4", {"required": False}),
        t=("M8[ms]", {"required": False}),
        p=("i8", {"decimals": 2, "required": False}),
    )
    expected = decoded_soundly(open_decoder("csv", columns, arrow=False, unknown=unknown), batch)
    assert_same(decoded_soundly(open_decoder("csv", columns, unknown=unknown), batch), expected, len(batch))
