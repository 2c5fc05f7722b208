"""Times of MessagePack itself (extension -1), in its three forms, wherever they are in a message."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamzarr.feeds.decode import open_decoder
from streamzarr.feeds.decode.msgpack_times import ExactTimes
from streamzarr.feeds.decode.typed import TypedLayout
from tests.support.decoding import share, specs

START = 1_767_605_400


def stamp(nanoseconds):
    """A time since 1970 in its shortest form."""
    seconds, rest = divmod(nanoseconds, 10**9)
    if not 0 <= seconds < 2**34:
        return b"\xc7\x0c\xff" + rest.to_bytes(4, "big") + seconds.to_bytes(8, "big", signed=True)
    if rest or seconds >= 2**32:
        return b"\xd7\xff" + (rest << 34 | seconds).to_bytes(8, "big")
    return b"\xd6\xff" + seconds.to_bytes(4, "big")


def raw(nanoseconds):
    return msgspec.Raw(stamp(nanoseconds))


def decoded(messages, columns, **options):
    return open_decoder("msgpack", columns, **options)([msgspec.msgpack.encode(each) for each in messages])


@settings(max_examples=share(60))
@given(
    st.lists(st.integers(-(2**63) + 1, 2**63 - 1) | st.integers(-5, 5) | st.integers(0, 2**34), max_size=4),
    st.sampled_from(["ns", "us", "ms", "s", "D"]),
)
def test_times_are_exact_and_cut_toward_the_past(times, unit):
    found = decoded([{"t": raw(time), "x": -1} for time in times], specs(t=f"M8[{unit}]"))
    assert found.bad == {}
    expected = np.array([np.datetime64(time, "ns") for time in times], "M8[ns]")
    per = {"ns": 1, "us": 1000, "ms": 10**6, "s": 10**9, "D": 86_400 * 10**9}[unit]
    assert found.columns["t"].view("i8").tolist() == [time // per for time in expected.view("i8").tolist()]


def test_times_that_were_rounded_up():
    times = [START * 10**9 + 999_999_999, -1]
    found = decoded([{"t": raw(time)} for time in times], specs(t="M8[s]"))
    assert found.columns["t"].view("i8").tolist() == [START, -1]


@pytest.mark.parametrize("head", [b"\xc7\x08", b"\xc8\x00\x08", b"\xc9\x00\x00\x00\x08"])
def test_times_in_longer_forms(head):
    time = START * 10**9 + 123_456_789
    message = b"\x81\xa1t" + head + stamp(time)[1:]
    found = open_decoder("msgpack", specs(t="M8[ns]"))([message])
    assert found.columns["t"].view("i8").tolist() == [time]


def test_times_within_arrays_and_objects():
    first, second = START * 10**9 + 1, START * 10**9 + 999_999_999
    columns = specs(
        t=("M8[ns]", {"source": "$.at.0"}), u=("M8[ns]", {"source": "b.1"}), p=("f8", {"source": "p"})
    )
    message = {"at": [raw(first)], "data": {"l": [{"b": [0, raw(second)], "p": 1.5}] * 2}, 7: raw(first)}
    found = decoded([message], columns, records="data.l")
    assert found.columns["t"].view("i8").tolist() == [first] * 2
    assert found.columns["u"].view("i8").tolist() == [second] * 2
    nested = specs(t=("M8[ns]", {"source": "d.0"}), n=("i8", {"source": "n"}))
    found = decoded([{"d": [raw(first)], "n": 1}, [{"d": [raw(second)], "n": 2}]], nested)
    assert found.columns["t"].view("i8").tolist() == [first, second]
    by_place = specs(t=("M8[ns]", {"source": "0"}), n=("i8", {"source": "1"}))
    assert decoded([[raw(first), 5]], by_place).columns["t"].view("i8").tolist() == [first]
    found = decoded([[[raw(first), 5], [raw(second), 6]]], by_place, records=".")
    assert found.columns["t"].view("i8").tolist() == [first, second]


def test_years_beyond_those_of_python():
    seconds = 400 * 10**9
    found = decoded([{"t": raw(seconds * 10**9 + 5)}], specs(t="M8[s]"))
    assert found.columns["t"].view("i8").tolist() == [seconds]
    assert (
        "a time that datetime64[ns] can hold"
        in decoded([{"t": raw(seconds * 10**9)}], specs(t="M8[ns]")).bad[0]
    )


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"\xd7\xff" + (10**9 << 34).to_bytes(8, "big"), "nanoseconds out of range"),
        (b"\xd7\x05" + bytes(8), "got an extension of type 5"),
        (b"\xc7\x0c\x05" + b"\x08\xff" + bytes(10), "got an extension of type 5"),
        (b"\xc7\x0c\xff", "truncated"),
    ],
)
@pytest.mark.parametrize("source", ["t", "t.0"])
def test_what_is_no_time(value, reason, source):
    columns = specs(t=("M8[ns]", {"source": source}))
    found = open_decoder("msgpack", columns)([b"\x81\xa1t" + (b"\x91" if source == "t.0" else b"") + value])
    assert reason in found.bad[0]


def test_other_values_beside_a_time():
    columns = specs(t="M8[ns]", n=("i8", {"required": False}), s=("bytes", {"required": False}))
    message = {"t": raw(START * 10**9 + 7), "n": -1, "s": b"\xd7\xff" + bytes(8), "more": [{}, [1]]}
    found = decoded([message, {"n": 255, "s": b"\x08\xff"}, {"t": "2026-01-05T09:30:00.5\u07ff"}], columns)
    assert found.columns["t"].view("i8").tolist() == [START * 10**9 + 7]
    assert found.columns["s"].tolist() == [b"\xd7\xff" + bytes(8)]
    assert found.bad[1] == "column 't': no value"
    assert sorted(found.bad) == [1, 2]


OBJECTS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.sampled_from([b"\x08\xff", 1.5, "é"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["t", 5]), inner),
    max_leaves=12,
)


@settings(max_examples=share(60))
@given(OBJECTS)
def test_what_has_no_times_is_as_msgspec_has_it(message):
    layout = TypedLayout(specs(t=("M8[ns]", {"source": "t.5.0"})), "t.5", "ignore", 100)
    value = msgspec.msgpack.encode([message, b"\x08\xff"])
    decode = msgspec.msgpack.decode
    assert ExactTimes(layout, decode, lambda *_: None)(value) == decode(value)
