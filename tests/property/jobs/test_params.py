"""What a transform gets is what was given, in type and value; or the submitter is told at once."""

import datetime as dt
import decimal
import fractions
import math

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamzarr.errors import ConfigError, MessageError
from streamzarr.jobs.compute import transformed
from streamzarr.jobs.params import MAX_DEPTH, decode_params, encode_params
from streamzarr.jobs.transforms import transform
from streamzarr.jobs.wire import Layout, Stage, decode_stage, encode
from streamzarr.zarr import create_array

TARGET = create_array("memory://", shape=(1,), dtype="f8")
LAYOUT = Layout((4,), (2,), "<f4", 3, msgspec.Raw(b"[]"))

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters())
numpy_scalars = (
    st.integers(-128, 127).map(np.int8)
    | st.integers(0, 2**64 - 1).map(np.uint64)
    | st.floats(width=32).map(np.float32)
    | st.floats().map(np.float64)
    | st.booleans().map(np.bool_)
    | st.text().map(np.str_)
)
odd = (
    st.binary()
    | st.decimals()
    | st.fractions()
    | st.dates()
    | st.datetimes()
    | st.complex_numbers()
    | st.tuples(st.integers())
    | st.sets(st.integers())
    | st.dictionaries(st.text(), st.integers())
    | st.sampled_from([np.datetime64("2020-01-01", "ns"), np.timedelta64(5, "s"), np.longdouble(1) / 3])
    | st.builds(np.zeros, st.just(2))
    | st.sampled_from([object(), print, Ellipsis, int])
)
values = st.recursive(scalars | numpy_scalars | odd, lambda inner: st.lists(inner, max_size=3), max_leaves=5)


def carried(params):
    """Send parameters over the wire, and return what a transform is called with."""
    got = {}

    def spy(block, **keywords):
        got.update(keywords)
        return block

    stage = Stage("map", "file:///a", "file:///b", LAYOUT, transform="spy", params=encode_params(params))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streamzarr.jobs.transforms._registered", {})
        transform(name="spy")(spy)
        transformed(decode_stage(encode(stage)), np.zeros(1), TARGET, "here")
    return got


def same(given, got):
    """Tell whether a value is another in type and value; a numpy scalar is the Python value it equals."""
    if isinstance(given, np.bool_ | np.integer | np.floating | np.str_):
        given = given.item()
    if type(given) is not type(got):
        return False
    if isinstance(given, list):
        return len(given) == len(got) and all(map(same, given, got))
    if isinstance(given, float):
        return repr(given) == repr(got)  # NaN is NaN, and -0.0 is not 0.0
    return given == got


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), values, max_size=3))
@example({"x": math.nan, "y": -math.inf, "z": -0.0, "n": 5e-324, "m": 1.7976931348623157e308})
@example({"x": 2**64 - 1, "y": -(2**63), "z": True, "n": None, "one": 1.0})
@example({"x": 2**64})
@example({"x": [[], [[1.5, "a"], math.inf]]})
@example({"x": "\ud800"})
@example({"x": decimal.Decimal(1), "y": dt.date(2020, 1, 1), "z": fractions.Fraction(1, 2)})
def test_parameters_arrive_exactly_as_given_or_are_refused(params):
    try:
        got = carried(params)
    except ConfigError:
        return
    assert params.keys() == got.keys()
    assert all(same(params[name], got[name]) for name in params), (params, got)


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), st.lists(st.floats() | st.booleans())))
def test_plain_parameters_are_never_refused(params):
    assert all(same(params[name], value) for name, value in carried(params).items())


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ([1], r"params is \[1\], expected a mapping"),
        ("a=1", "params is 'a=1', expected a mapping"),
        ({1: 2}, "the key 1 is no keyword"),
        ({"a b": 2}, "the key 'a b' is no keyword"),
        ({"": 2}, "the key '' is no keyword"),
        ({"x": (1, 2)}, "'x' is a tuple, which would arrive as a list: give a list"),
        ({"x": [(1, 2)]}, "'x' is a tuple"),
        ({"x": b"1"}, "'x' is of type bytes, expected text, a float"),
        ({"x": decimal.Decimal("0.1")}, "'x' is of type Decimal"),
        ({"x": dt.date(2020, 1, 1)}, "'x' is of type date"),
        ({"x": {"a": 1}}, "'x' is of type dict"),
        ({"x": np.zeros(2)}, "'x' is of type ndarray"),
        ({"x": np.datetime64(1, "ns")}, "'x' is of type datetime64"),
        ({"x": 1 << 99}, "'x' is an integer of 100 bits, expected at most 64"),
        ({"x": "\ud800"}, "half of a surrogate pair"),
    ],
)
def test_what_would_be_altered_is_refused_in_one_sentence(params, says):
    with pytest.raises(ConfigError, match=says):
        encode_params(params)


def test_lists_are_nested_to_a_bound():
    deep = 1
    for _ in range(MAX_DEPTH):
        deep = [deep]
    assert carried({"x": deep}) == {"x": deep}
    with pytest.raises(ConfigError, match="lists within lists"):
        encode_params({"x": [deep]})
    with pytest.raises(MessageError, match="parameter 'x'"):
        decode_params({"x": [deep]})


@pytest.mark.parametrize("value", [{"float": "1"}, {"float": "nan", "b": 1}, {}, {"a": 1}, {"float": []}])
def test_a_forged_parameter_is_a_message_error(value):
    with pytest.raises(MessageError, match="parameter 'x'"):
        decode_params({"x": value})


def test_a_transform_that_changes_a_list_does_not_change_the_next_call():
    wire = encode_params({"x": [1]})
    decode_params(wire)["x"].append(2)
    assert decode_params(wire) == {"x": [1]}
