"""A configuration from a look at records: it is one, and the records fit it."""

import json
import re
import tomllib

import pytest

from streamzarr.errors import MessageError, TopicNotFoundError
from streamzarr.feeds import Feed
from streamzarr.feeds.decode import open_decoder
from streamzarr.feeds.propose import propose
from streamzarr.testing.broker_fake import FakeBroker


def proposed(*records, partition=0):
    broker = FakeBroker()
    broker.create_topic("t", 2)
    values = [json.dumps(each).encode() if not isinstance(each, bytes) else each for each in records]
    broker.append("t", partition, *values)
    text = propose(broker, "t", "x.zarr")
    feed = Feed.of(tomllib.loads(text))
    columns = {name: each for name, each in feed.columns.items() if not each.of_record}
    decoded = open_decoder("json", columns)([value for value in values if value.startswith(b"{")])
    assert decoded.bad == {}
    return tomllib.loads(text)["columns"], text


def test_numbers_texts_and_times():
    columns, _ = proposed(
        {
            "ts": 1767225600000,
            "iso": "2026-01-05T10:00Z",
            "n": 1,
            "x": 1,
            "s": "a",
            "p": "1.25",
            "ok": True,
        },
        {
            "ts": 1767225600001,
            "iso": "2026-01-05T09:00Z",
            "n": 2,
            "x": 1.5,
            "s": "b",
            "p": "1.5",
            "ok": False,
        },
    )
    assert columns == {
        "ts": {"dtype": "datetime64[ns]", "unit": "ms", "sorted": True},
        "iso": "datetime64[ns]",
        "n": "i8",
        "x": "f8",
        "s": "string",
        "p": "f8",
        "ok": "bool",
    }


def test_what_is_nested_missing_null_or_named_as_ours():
    columns, text = proposed(
        {"quote": {"bid": 1.5}, "offset": 7, "gone": None, "list": [1, 2], "odd key": 1},
        {"quote": {"bid": 1.25}, "more": "x", "offset": 8, "odd key": 2},
        b"no json",
    )
    assert columns == {
        "quote_bid": {"dtype": "f8", "from": "quote.bid"},
        "offset_2": {"dtype": "i8", "from": "offset"},
        "odd key": "i8",
        "more": {"dtype": "string", "required": False},
    }
    assert text.startswith("# Proposed from 2 records; 1 more are no JSON objects\n")


def test_a_number_is_a_time_only_under_a_name_that_says_so():
    columns, _ = proposed({"id": 1767225600000, "time": 1767225600}, {"id": 1767225600001, "time": 5})
    assert columns == {"id": "i8", "time": "i8"}


def test_names_that_toml_writes_otherwise_or_that_no_path_leads_to():
    columns, _ = proposed({"😀": 1, "a\x7fb": 2, 'q"': 3, "__x": 4, "@x": 5, "b\\": 6}, b"[" * 100_000)
    assert columns == {
        "😀": "i8",
        "a\x7fb": "i8",
        'q"': "i8",
        "field__x": {"dtype": "i8", "from": "__x"},
    }


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (["007", "012"], "string"),
        (["12345678901234567890"], "u8"),
        (["123456789012345678901"], "string"),
        (["1234567890123.456", "1"], "string"),
        (["1767605400123", "-5"], "i8"),
        (["1.50", "2"], "f8"),
        (["2026-01-05T09:30Z", "2026-13-05T09:30Z"], "string"),
        (["2026-01-05T09:30:00Z, or so"], "string"),
        (["2026-01-05T09:30:02Z", "2026-01-05T09:30:03+01:00"], "datetime64[ns]"),
        (["0001-01-01T00:00Z"], {"dtype": "datetime64[us]", "sorted": True}),
        (["9000-01-01T00:00Z"], "datetime64[us]"),
        (["2026-01-05T09:30:00.123456789000Z"], {"dtype": "datetime64[ns]", "sorted": True}),
        (["2026-01-05T09:30:00.1234567891Z"], "string"),
        (["9000-01-01T00:00:00.123456Z"], "datetime64[us]"),
        (["9000-01-01T00:00:00.1234567Z"], "string"),
        ([2**64 - 1, 5], "u8"),
        ([2**70], "f8"),
        ([1, 2.5, "3.5"], "f8"),
    ],
)
def test_a_column_holds_all_values_as_they_are(values, dtype):
    columns, _ = proposed(*({"x": each} for each in values))
    assert columns == {"x": dtype}


@pytest.mark.parametrize("values", [[1, True], ["a", 5], ["a", {"b": 1}], [1, [2]], [True, "true"]])
def test_values_of_several_types_are_told_of(values):
    broker = FakeBroker()
    broker.create_topic("t", 1)
    broker.append("t", 0, *(json.dumps({"x": each}).encode() for each in values))
    text = propose(broker, "t", "x.zarr")
    assert re.search(r"# some records have .* here: such are bad\nx = ", text)
    assert tomllib.loads(text)


def test_names_that_no_column_can_have_and_names_that_meet():
    columns, _ = proposed(
        {"n" * 300: 1, "a\0b": 2, "a": {"b": 1}, "a_b": 2, "a_b_2": 3, "replay_offset": 4, "$": 5}
    )
    assert [*columns] == ["a_b", "a_b_2", "a_b_2_2", "replay_offset_2"]
    assert columns["a_b_2"]["from"] == "a_b"


def test_records_without_a_field_for_a_column():
    broker = FakeBroker()
    broker.create_topic("t", 1)
    broker.append("t", 0, b'{"list": [1], "none": null, "empty": {}}')
    with pytest.raises(MessageError, match="records of topic 't' have no fields that can be columns"):
        propose(broker, "t", "x.zarr")


def test_nothing_to_look_at():
    broker = FakeBroker()
    broker.create_topic("t", 1)
    with pytest.raises(MessageError, match="has no records"):
        propose(broker, "t", "x.zarr")
    broker.append("t", 0, b"\x00", None)
    with pytest.raises(MessageError, match="of 2 records of topic 't' none is a JSON object"):
        propose(broker, "t", "x.zarr")
    with pytest.raises(TopicNotFoundError):
        propose(broker, "nowhere", "x.zarr")


def offered(*records):
    """The columns that are proposed, the text, and how many of the records they take."""
    broker = FakeBroker()
    broker.create_topic("t", 1)
    values = [json.dumps(each).encode() for each in records]
    broker.append("t", 0, *values)
    text = propose(broker, "t", "x.zarr")
    columns = {
        name: each for name, each in Feed.of(tomllib.loads(text)).columns.items() if not each.of_record
    }
    decoded = open_decoder("json", columns)(values)
    return tomllib.loads(text)["columns"], text, len(values) - len(decoded.bad)


def test_a_field_that_is_mostly_a_number_and_else_an_object():
    records = [
        {"a": 1, "x": 1},
        {"a": {"b": 2, "c": {"d": 3}}, "x": 2},
        {"a": 4, "x": 3},
        {"a": None, "x": 4},
    ]
    columns, text, good = offered(*records)
    assert columns == {"a": {"dtype": "i8", "required": False}, "x": "i8"}
    assert "# some records have objects and arrays here: such are bad\na = " in text
    assert good == 3


@pytest.mark.parametrize("other", [1, "x", True, [1]])
def test_a_field_that_is_mostly_an_object_and_else_something_else(other):
    columns, text, good = offered({"a": {"b": 1, "c": {"d": 2}}}, {"a": {"b": 3}}, {"a": other}, {"a": None})
    assert columns == {
        "a_b": {"dtype": "i8", "from": "a.b", "required": False},
        "a_c_d": {"dtype": "i8", "from": "a.c.d", "required": False},
    }
    assert text.count('# some records have no object at "a", which this is in: such are bad\n') == 2
    assert good == 3


def test_objects_that_have_no_columns_leave_the_number_where_it_is():
    columns, _, good = offered({"a\nb": {}}, {"a\nb": {"c": None}}, {"a\nb": 1})
    assert (columns, good) == ({"a\nb": {"dtype": "i8", "required": False}}, 1)


def test_a_clash_below_a_clash():
    columns, text, good = offered(*[{"a\n": {"b": {"c": 1}}}] * 2, {"a\n": {"b": 2}}, {"a\n": 3})
    assert columns == {"a\n_b_c": {"dtype": "i8", "from": "a\n.b.c", "required": False}}
    assert '# some records have no object at "a\\n", which this is in: such are bad\n' in text
    assert good == 2


def test_what_is_left_out_is_told():
    book = {"ts": 1767225600000, "bids": [[1.5, 2]], "asks": [], "seq": None, "x": {"a.b": 1, "c": 2}}
    columns, text = proposed({**book, "a\\b\n[source]": 1, "": 3}, {**book, "seq": None, "n" * 300: 1})
    assert [*columns] == ["ts", "x_c"]
    long = "n" * 80
    assert text.splitlines()[1] == (
        '# left out: x.a.b (by its name), "a\\\\b\\n[source]" (by its name), "" (by its name), bids (array), '
        f"asks (array), seq (null), {long}... (by its name); see docs/decoders.md"
    )
    assert "left out" not in proposed({"a": 1, "b": {"c": 2}, "d": {}})[1]


def test_many_fields_that_are_left_out_are_told_in_part():
    _, text = proposed({"n": 1, **{f"f{number}": [] for number in range(30)}})
    assert "f19 (array), and 10 more; see" in text
    assert "f20" not in text


@pytest.mark.parametrize("record", [b"\x80", b"[1]", b'{"a": []}'])
def test_records_that_are_no_objects_with_fields_are_told_with_what_to_do(record):
    broker = FakeBroker()
    broker.create_topic("t")
    broker.append("t", 0, record)
    with pytest.raises(
        MessageError, match=r"write \[decode\] and \[columns\] yourself, see docs/decoders.md"
    ):
        propose(broker, "t", "x.zarr")
