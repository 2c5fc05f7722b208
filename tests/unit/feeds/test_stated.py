"""What docs/decoders.md says of values, by name."""

import gzip
import tracemalloc

import numpy as np
import pytest
import zstandard

from streamzarr.errors import ConfigError
from streamzarr.feeds.columns import ColumnSpec
from streamzarr.feeds.decode import known_formats, open_decoder
from streamzarr.limits import Limits
from tests.support.decoding import specs


def json_of(text: str, dtype="f8", **more):
    """The value of one column out of one message, or the reason why there is none."""
    decoded = open_decoder("json", specs(x=(dtype, more)))([text.encode()])
    return decoded.bad[0] if decoded.bad else decoded.columns["x"][0]


def test_integers_beyond_floats_are_exact():
    assert json_of('{"x": 9007199254740993}', "i8") == 2**53 + 1
    assert json_of('{"x": 18446744073709551615}', "u8") == 2**64 - 1
    batch = [b'{"x": 9007199254740993}', b'{"x": 1}', b'{"x": -9007199254740993}'] * 40
    assert open_decoder("json", specs(x="i8"))(batch).columns["x"][[0, 2]].tolist() == [
        2**53 + 1,
        -(2**53) - 1,
    ]


@pytest.mark.parametrize("text", ["9007199254740993.0", "9.007199254740993e15", "-9007199254740992.0"])
@pytest.mark.parametrize("dtype", ["i8", "u8", "M8[us]"])
def test_a_float_that_may_have_been_another_integer_is_bad(text, dtype):
    assert "as a float beyond 2**53 is not exact" in json_of(f'{{"x": {text}}}', dtype)


@pytest.mark.parametrize("dtype", ["?", "i8", "f8", "u1"])
def test_minus_zero_is_zero_whatever_stands_beside_it(dtype):
    for columns in (specs(x=dtype), specs(x=dtype, y="f8")):
        decoded = open_decoder("json", columns)([b'{"x": -0, "y": 1.5}'])
        assert (decoded.bad, decoded.columns["x"].tolist()) == ({}, [0])


def test_good_numbers_stay_good_behind_others_of_another_kind():
    flags = open_decoder("json", specs(up="?"))
    assert flags([b'{"up": 0.5}']).bad
    assert not flags([b'{"up": 0}', b'{"up": 1}']).bad
    sizes = open_decoder("json", specs(size=("i8", {"decimals": 8})))
    for batch in ([b'{"size": 0.5}', b'{"size": 12345678}'], [b'{"size": 20000000}'] * 2):
        assert not sizes(batch).bad
    assert sizes([b'{"size": 12345678}']).columns["size"].tolist() == [1234567800000000]


@pytest.mark.parametrize(
    ("value", "dtype"), [("256", "u1"), ("-1", "u2"), ("2147483648", "i4"), ("18446744073709551616", "u8")]
)
def test_integers_out_of_range_are_bad_and_not_wrapped(value, dtype):
    assert json_of(f'{{"x": {value}}}', dtype).startswith(
        f"column 'x': got {value}, expected an integer from "
    )


def test_floats_in_integer_columns_are_whole_and_exact_or_bad():
    assert json_of('{"x": 5.0}', "i4") == 5
    assert "got 5.5, expected an integer" in json_of('{"x": 5.5}', "i4")
    assert "expected an integer" in json_of('{"x": 1e16}', "i8")


@pytest.mark.parametrize(
    ("text", "found"), [("5.0", 5), ("-1.20e1", -12), (" 7. ", 7), ("9223372036854775807.00", 2**63 - 1)]
)
def test_texts_of_whole_numbers_are_integers_however_they_are_written(text, found):
    assert json_of(f'{{"x": "{text}"}}', "i8") == found
    csv = open_decoder("csv", specs(x="i8"))
    assert csv([text.encode()]).columns["x"].tolist() == [found]


@pytest.mark.parametrize("text", ["5.5", "1e-1", "1e19", "1e999999999", "9223372036854775808.0", "5.0x"])
def test_texts_of_other_numbers_are_no_integers(text):
    assert "expected an integer from" in json_of(f'{{"x": "{text}"}}', "i8")


def test_prices_in_texts_are_floats_or_scaled_integers():
    assert json_of('{"x": "20472.80"}') == 20472.8
    assert json_of('{"x": "20472.80"}', "i8", decimals=2) == 2047280
    assert json_of('{"x": 0.29}', "i8", decimals=2) == 29
    assert json_of('{"x": "123456789012345.67"}', "i8", decimals=2) == 12345678901234567
    assert json_of('{"x": "1.005"}', "i8", decimals=2).endswith(
        "got the text '1.005', expected 2 decimals at most"
    )


def test_a_float_of_more_digits_than_it_can_tell_apart_is_no_scaled_integer():
    cents = {"decimals": 2}
    assert json_of('{"x": 9999999999999.99}', "i8", **cents) == 999_999_999_999_999
    assert "got 1234567890123456.8, expected 15 digits at most" in json_of(
        '{"x": 1234567890123456.78}', "i8", **cents
    )
    assert json_of('{"x": "1234567890123456.78"}', "i8", **cents) == 123_456_789_012_345_678


@pytest.mark.parametrize("zero", ["-0", "-0.0", '"-0"'])
def test_minus_zero_is_a_float_of_its_own(zero):
    assert np.signbit(json_of(f'{{"x": {zero}}}'))
    assert json_of(f'{{"x": {zero}}}', "i8") == 0


def test_a_float_of_nanoseconds_is_not_exact_and_bad():
    assert "expected an integer of ns, as a float beyond 2**53" in json_of(
        '{"x": 1.7676054001234567e18}', "M8[ns]"
    )
    assert json_of('{"x": 1.767605400123457e15}', "M8[ns]", unit="us") == np.datetime64(
        "2026-01-05T09:30:00.123457"
    )


def test_nanoseconds_survive():
    at = np.datetime64("2026-01-05T09:30:00.123456789", "ns")
    assert json_of('{"x": "2026-01-05T09:30:00.123456789Z"}', "M8[ns]") == at
    assert json_of('{"x": 1767605400123456789}', "M8[ns]") == at
    assert json_of('{"x": "2026-01-05 10:30:00.123456789+01:00"}', "M8[ns]") == at


@pytest.mark.parametrize(
    ("unit", "value"),
    [("s", 1767605400), ("ms", 1767605400000), ("us", 1767605400000000), ("s", 1767605400.0)],
)
def test_times_are_numbers_in_the_stated_unit(unit, value):
    expected = np.datetime64("2026-01-05T09:30:00")
    assert json_of(f'{{"x": {value}}}', "M8[ns]", unit=unit) == expected
    assert json_of(f'{{"x": "{value}"}}', "M8[ns]", unit=unit) == expected


def test_numbers_in_texts_are_no_times_unless_a_unit_is_stated():
    assert json_of('{"x": "20260105"}', "M8[ns]").endswith("or a number, once unit is stated")


def test_a_stated_format():
    form = {"format": "%Y%m%d %H%M%S%f"}
    assert json_of('{"x": "20200101 170000065"}', "M8[ms]", **form) == np.datetime64(
        "2020-01-01T17:00:00.065"
    )
    assert "in the stated format" in json_of('{"x": "2020-01-01"}', "M8[ms]", **form)


def test_times_without_an_offset_are_utc_or_of_the_stated_zone():
    assert json_of('{"x": "2026-07-05T12:00"}', "M8[s]") == np.datetime64("2026-07-05T12:00")
    assert json_of('{"x": "2026-07-05T12:00"}', "M8[s]", zone="Europe/Oslo") == np.datetime64(
        "2026-07-05T10:00"
    )
    assert json_of('{"x": "2026-07-05T12:00Z"}', "M8[s]", zone="Europe/Oslo") == np.datetime64(
        "2026-07-05T12:00"
    )


def test_a_clock_that_is_put_forward_or_back_is_no_guess():
    oslo = {"zone": "Europe/Oslo"}
    assert "there is this one twice" in json_of('{"x": "2026-10-25T02:30"}', "M8[s]", **oslo)
    assert "there is this one not" in json_of('{"x": "2026-03-29T02:30"}', "M8[s]", **oslo)
    assert json_of('{"x": "2026-10-25T02:30+01:00"}', "M8[s]", **oslo) == np.datetime64("2026-10-25T01:30")


@pytest.mark.parametrize(
    "text", ["2026-02-30", "2026-01-01T24:00", "2016-12-31T23:59:60Z", "2300-01-01", "soon"]
)
def test_no_times(text):
    assert json_of(f'{{"x": "{text}"}}', "M8[ns]").startswith(f"column 'x': got the text '{text}', expected ")


def test_what_is_finer_than_the_column_is_cut_off():
    assert json_of('{"x": "2026-01-05T09:30:00.9999"}', "M8[ms]") == np.datetime64("2026-01-05T09:30:00.999")
    assert json_of('{"x": -0.5}', "M8[s]", unit="s") == np.datetime64("1969-12-31T23:59:59")


@pytest.mark.parametrize("digits", [10, 12, 40, 1000, 100_000])
def test_any_number_of_digits_behind_the_second(digits):
    text = "1969-12-31T23:59:59." + "9" * digits
    last = np.datetime64("1969-12-31T23:59:59.999999999")
    for more in ("", "Z", "+00:00"):
        assert json_of(f'{{"x": "{text}{more}"}}', "M8[ns]") == last
    assert json_of(f'{{"x": "{text}"}}', "M8[us]") == np.datetime64("1969-12-31T23:59:59.999999")
    assert json_of(f'{{"x": "{text}"}}', "M8[ns]", format="%Y-%m-%dT%H:%M:%S.%f") == last
    assert "expected a time" in json_of(f'{{"x": "{text}x"}}', "M8[ns]")
    csv = open_decoder("csv", specs(x="M8[ns]"))([text.encode()] * 3)
    assert csv.columns["x"].tolist() == [last.astype(int)] * 3


@pytest.mark.parametrize("text", ["{}", '{"x": null}'])
def test_no_value_is_bad_or_the_fill(text):
    assert json_of(text) == "column 'x': no value"
    assert np.isnan(json_of(text, required=False))
    assert json_of(text, "i4", required=False, fill=-1) == -1
    assert np.isnat(json_of(text, "M8[ns]", required=False))
    assert json_of(text, "string", required=False) == ""


def test_values_that_stand_for_none():
    sensor = {"missing": (-9999.9, "NA"), "required": False}
    assert np.isnan(json_of('{"x": -9999.9}', **sensor))
    assert np.isnan(json_of('{"x": "NA"}', **sensor))
    assert json_of('{"x": -9999.9}', missing=(-9999.9,)) == "column 'x': no value"


def test_not_a_number_and_infinity():
    assert np.isnan(json_of('{"x": "NaN"}'))
    assert json_of('{"x": "-Infinity"}') == -np.inf
    assert json_of('{"x": NaN}').startswith("json: ")
    assert json_of('{"x": 1e39}', "f4").endswith("got 1e+39, expected a number that float32 can hold")


def test_booleans():
    assert [json_of(f'{{"x": {each}}}', "?") for each in ("true", "0", '"False"', '"1"')] == [
        True,
        False,
        False,
        True,
    ]
    assert json_of('{"x": 2}', "?") == "column 'x': got 2, expected true or false"
    assert json_of('{"x": true}') == "column 'x': got true, expected a number"


def test_texts_are_not_cut():
    assert json_of('{"x": "naïve"}', "U5") == "naïve"
    assert json_of('{"x": "naïve"}', "S5").endswith("expected 5 bytes at most, not 6")
    assert json_of('{"x": "EURUSD"}', "U3").endswith(
        "got the text 'EURUSD', expected 3 characters at most, not 6"
    )
    assert json_of('{"x": 5}', "string") == "column 'x': got 5, expected a text"


def test_drift():
    columns = specs(x="f8", y=("f8", {"required": False}))
    batch = [
        b'{"x": 1, "y": 2}',
        b'{"x": 1, "y": 2, "z": 3}',
        b'{"x": 1}',
        b'{"y": 1}',
        b'{"x": {"v": 1}}',
        b'{"x": "1"}',
    ]
    ignoring = open_decoder("json", columns)(batch)
    assert ignoring.bad == {
        3: "column 'x': no value",
        4: "column 'x': got an object with v, expected a number",
    }
    assert ignoring.origin.tolist() == [0, 1, 2, 5]
    strict = open_decoder("json", columns, unknown="error")(batch)
    assert strict.bad == ignoring.bad | {1: "json: Object contains unknown field `z`"}


def test_one_bad_record_makes_its_message_bad():
    decoded = open_decoder("json", specs(x="f8"))([b'[{"x": 1}, {"x": []}]', b'[{"x": 2}, {"x": 3}]', b"[]"])
    assert decoded.bad == {0: "record 1 of 2: column 'x': got an array of 0, expected a number"}
    assert decoded.columns["x"].tolist() == [2, 3]
    assert decoded.origin.tolist() == [1, 1]


def test_messages_without_a_value_are_bad():
    for name in ("json", "msgpack", "csv", "struct"):
        assert open_decoder(name, specs(x="f8"))([None]).bad == {0: f"{name}: no value"}


def test_order_book_levels_by_position():
    columns = specs(best=("f8", {"source": "bids.0.0"}), size=("i8", {"source": "bids.0.1", "decimals": 3}))
    decoded = open_decoder("json", columns)([b'{"bids": [["1.5", "20.125"], ["1.4", "1"]]}'] * 3)
    assert decoded.columns["best"].tolist() == [1.5] * 3
    assert decoded.columns["size"].tolist() == [20125] * 3


# ---------------------------------------------------------------- bounds


SMALL = Limits(max_message_bytes=1000, max_message_depth=8, max_message_records=10)


@pytest.mark.parametrize("arrow", [True, False])
@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b'{"x": 1, "y": "' + b"a" * 1000 + b'"}', "json: got 1017 bytes, expected 1000 at most"),
        (b'{"x": 1, "y": ' + b"[" * 20 + b"]" * 20 + b"}", "json: nested more than 8 deep"),
        (b"[" + b",".join([b'{"x": 1}'] * 11) + b"]", "records: got 11 of them, expected 10 at most"),
    ],
)
def test_size_nesting_and_records_are_bounded(message, reason, arrow):
    decode = open_decoder("json", specs(x="f8"), limits=SMALL, arrow=arrow)
    decode([b'{"x": 1}'])
    assert decode([b'{"x": 1}', message]).bad == {1: reason}
    assert decode([message]).bad == {0: reason}


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_what_is_compressed_is_bounded(compression):
    bomb = {"gzip": gzip.compress, "zstd": zstandard.compress}[compression](bytes(100 << 20))
    decode = open_decoder(
        "json", specs(x="f8"), compression=compression, limits=Limits(max_message_bytes=1 << 20)
    )
    tracemalloc.start()
    decoded = decode([bomb, b"junk"] * 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert decoded.bad.keys() == set(range(6))
    assert all(reason.startswith(compression) for reason in decoded.bad.values())
    assert peak < 16 << 20


def test_long_numbers_take_no_time():
    digits = b"9" * 100_000
    decoded = open_decoder("json", specs(x="i8"))(
        [b'{"x": %s}' % digits, b'{"x": "%s"}' % digits, b'{"x": 1}']
    )
    assert decoded.origin.tolist() == [2]
    assert all(len(reason) < 200 for reason in decoded.bad.values())


def test_one_long_text_does_not_widen_the_others():
    batch = [b'{"x": "%s"}' % (b"1" * 1_000_000)] + [b'{"x": "1"}'] * 10_000
    for column in (("f8", {}), ("M8[ns]", {"unit": "s"}), ("S2", {}), ("?", {})):
        decode = open_decoder("json", specs(x=column))
        decode(batch[1:])
        tracemalloc.start()
        assert decode(batch).bad.keys() == {0}
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 64 << 20


# ---------------------------------------------------------------- what is refused at once


@pytest.mark.parametrize(
    ("name", "columns", "options", "says"),
    [
        ("yaml", specs(x="f8"), {}, "format is 'yaml', expected one of arrow, "),
        (
            "json",
            specs(x="f8"),
            {"path": "d"},
            "format 'json' has no option 'path', expected compression, records",
        ),
        (
            "json",
            specs(x="f8"),
            {"compression": "rar"},
            "compression is 'rar', expected one of gzip, zstd, lz4, snappy",
        ),
        ("json", specs(x="f8"), {"unknown": "drop"}, "unknown is 'drop', expected 'ignore' or 'error'"),
        ("json", specs(x=("f8", {"decimals": 2})), {}, "column 'x': decimals=2 and float64"),
        ("json", specs(x=("M8[ns]", {"zone": "Mars/Olympus"})), {}, "zone 'Mars/Olympus' is not known here"),
        ("json", specs(x=("M8[ns]", {"format": "%q"})), {}, "time format '%q': got %q"),
        ("json", specs(x=("i4", {"fill": 1.5})), {}, "column 'x': fill=1.5, expected an integer"),
        ("json", specs(x=("f8", {"source": "a..b"})), {}, "path 'a..b': expected names"),
        ("json", specs(x="c16"), {}, "column 'x': complex128, expected numbers"),
        ("csv", specs(x="f8"), {"names": "a,b"}, "csv: column 'x': no field 'x' among a, b"),
        ("struct", specs(x="string"), {}, "struct: column 'x' has no fixed size"),
        ("struct", specs(x="f8"), {"dtype": [["y", "f8"]]}, "struct: column 'x': no 'x' in what has y"),
    ],
)
def test_what_cannot_be_decoded_is_said_when_the_decoder_is_opened(name, columns, options, says):
    with pytest.raises(ConfigError, match=r".*") as caught:
        open_decoder(name, columns, **options)
    assert says in str(caught.value)


def test_formats_are_known():
    assert {"arrow", "avro", "csv", "json", "msgpack", "protobuf", "struct"} <= set(known_formats())


def test_a_column_says_where_it_is():
    decode = open_decoder("json", {"bid": ColumnSpec("bid", "f8", source="quote.b")})
    assert decode([b'{"quote": {"b": "x"}}']).bad == {
        0: "column 'bid' (quote.b): got the text 'x', expected a number"
    }
