"""Parameter types, and what tables print."""

import math

import click
import pytest

from streamzarr.cli.options import Assignment, Compressor, DType, Duration, Integers, NoData, Size
from streamzarr.cli.output import duration, printable, size
from streamzarr.supervisor.options import SupervisionOptions


@pytest.mark.parametrize(("text", "value"), [("2", (2,)), ("256,256", (256, 256)), ("1, 2", (1, 2))])
def test_integers(text, value):
    assert Integers().convert(text, None, None) == value


@pytest.mark.parametrize("text", ["", "a", "1,", "-1", "1.5", "0", "²"])
def test_what_are_no_integers(text):
    with pytest.raises(click.BadParameter):
        Integers().convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("offset=-273.15", -273.15),
        ("n=3", 3),
        ("flag=true", True),
        ("none=null", None),
        ("text=kelvin", "kelvin"),
        ('number_as_text="3"', "3"),
        ("equation=a=b", "a=b"),
        ("list=[1,2.5]", [1, 2.5]),
        ("whole=1.0", 1.0),
        ("exponent=1e3", 1000.0),
        ("largest=18446744073709551615", 2**64 - 1),
        ("least=-9223372036854775808", -(2**63)),
        ("high=Infinity", math.inf),
        ("low=-Infinity", -math.inf),
        ("python=True", "True"),
        ("words=nan", "nan"),
        ("half=[1", "[1"),
        ("empty=", ""),
    ],
)
def test_an_assignment(text, value):
    got = Assignment().convert(text, None, None)[1]
    assert got == value
    assert type(got) is type(value)


def test_an_assignment_of_not_a_number():
    assert math.isnan(Assignment().convert("x=NaN", None, None)[1])


@pytest.mark.parametrize("text", ["x=1e999", "x=-1e999", f"x={10**30}", "x=" + "1" * 5000, f"x=[{10**30}]"])
def test_a_number_that_would_become_another_one_is_refused(text):
    with pytest.raises(click.BadParameter, match="64 bits"):
        Assignment().convert(text, None, None)


@pytest.mark.parametrize("text", ["x", "=1", "a b=1", "1a=1", ""])
def test_what_is_no_assignment(text):
    with pytest.raises(click.BadParameter, match="expected name=value"):
        Assignment().convert(text, None, None)


def test_deep_nesting_is_text():
    assert Assignment().convert("x=" + "[" * 100_000, None, None)[1] == "[" * 100_000


def test_a_dtype_is_told_in_numpys_short_form():
    assert DType().convert("float32", None, None) == "<f4"


@pytest.mark.parametrize(
    ("text", "value"),
    [("zstd", "zstd"), ("none", None), ("keep", "keep"), ('{"id": "zstd"}', {"id": "zstd"})],
)
def test_a_compressor(text, value):
    assert Compressor().convert(text, None, None) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("auto", "auto"), ("none", "none"), ("-9999", -9999), (f"{2**64 - 1}", 2**64 - 1), ("1e20", 1e20)],
)
def test_nodata(text, value):
    got = NoData().convert(text, None, None)
    assert (got, type(got)) == (value, type(value))


@pytest.mark.parametrize("text", ["", "-", "zero", "1,2", "9" * 5000])
def test_what_is_no_nodata(text):
    with pytest.raises(click.BadParameter, match="expected a number, nan, auto or none"):
        NoData().convert(text, None, None)


@pytest.mark.parametrize(
    ("nbytes", "words"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2.5e9, "2.5 GB"), (3e15, "3000.0 TB")],
)
def test_sizes(nbytes, words):
    assert size(nbytes) == words


def test_durations():
    assert [duration(s) for s in (0, 59.94, 60, 3599.6, 3600)] == [
        "0.0 s",
        "59.9 s",
        "1 min 0 s",
        "1 h 0 min",
        "1 h 0 min",
    ]


def test_control_characters_are_escaped():
    assert printable("a\tb\x00\u202e°C") == "a\\tb\\x00\\u202e°C"


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("30min", 1800), ("12 h", 43_200), ("7d", 604_800)]
)
def test_a_duration_is_read_in_the_units_people_write(text, seconds):
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "d", "-1d", "1.5h", "7 weeks", "1d\n2", "9" * 5000])
def test_what_is_no_duration(text):
    with pytest.raises(click.BadParameter, match="expected a number with s, min, h or d"):
        Duration().convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "nbytes"), [("1000000", 1_000_000), ("512MB", 512_000_000), ("1.5 GiB", 3 << 29), (4096, 4096)]
)
def test_a_size_is_read_in_the_units_people_write(text, nbytes):
    assert Size().convert(text, None, None) == nbytes


@pytest.mark.parametrize("text", ["", "1X", "-1", "0", "1e6", "NaN", "1 GB or so"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(click.BadParameter, match="expected"):
        Size().convert(text, None, None)


def test_sizes_have_units_in_python_too():
    assert SupervisionOptions(max_memory="2GiB").max_memory == 2 << 30
