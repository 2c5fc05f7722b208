"""Options and names that cannot be: each is told as a mistake in the configuration, with its place."""

import pytest

from streamzarr.errors import ConfigError, MessageError
from streamzarr.feeds import ColumnSpec, Feed
from streamzarr.feeds.decode import open_decoder
from streamzarr.feeds.letters import Letters
from streamzarr.queue import Columns, TopicPartition
from streamzarr.testing.broker_fake import FakeBroker

X = {"x": ColumnSpec("x", "i8")}
TABLES = {
    "source": {"broker": "sqlite:///q.db", "topics": ["t"]},
    "decode": {"format": "json"},
    "columns": {"x": {"dtype": "i8"}},
    "target": {"url": "x.zarr"},
}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"source": {"topics": ["t", "t"]}}, "source.topics: 't' is there twice"),
        ({"columns": {"x": 5}}, 'columns.x: .*got `int`; a table .* "f8" }, or its dtype as a text'),
        ({"columns": {"x": {"dtype": "(2,)f8"}}}, "columns.x: .*expected what numpy.dtype takes"),
        ({"columns": {"x": {"dtype": "i4,i4"}}}, "columns.x: .*expected what numpy.dtype takes"),
        ({"columns": {"x": {"dtype": "f16"}}}, "columns.x: .*float128"),
        ({"columns": {"x": {"dtype": "i8", "compressors": "zstandard"}}}, "columns.x: .*unknown codec"),
        ({"columns": {"x": {"dtype": "i8", "attributes": {"a": float("inf")}}}}, "columns.x: .*not finite"),
    ],
)
def test_what_can_be_no_array(changes, reason):
    with pytest.raises(ConfigError, match=reason):
        Feed.of({name: {**table, **changes.get(name, {})} for name, table in TABLES.items()})


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("protobuf", {}, "format 'protobuf' needs descriptor and message"),
        ("json", {"records": True}, "format 'json' cannot be used with such records"),
        ("json", {"records": 5}, "cannot be used with such records: records is 5, expected a text"),
        ("csv", {"names": 7}, "format 'csv' cannot be used with such names"),
        ("struct", {"dtype": True}, "dtype is True, which numpy does not take"),
        ("json", {"compression": ["gzip"]}, "compression is"),
    ],
)
def test_options_of_another_type(name, options, reason):
    with pytest.raises(ConfigError, match=reason):
        open_decoder(name, X, **options)


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\tb"])
def test_a_field_by_any_name(name):
    decode = open_decoder("json", {"x": ColumnSpec("x", "i8", source=name)})
    escaped = name.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t")
    assert decode([f'{{"{escaped}": 7}}'.encode()] * 2).columns["x"].tolist() == [7, 7]


def test_a_letter_that_its_topic_does_not_take_says_what_to_do():
    broker = FakeBroker()
    broker.create_topic("t.dead", 1)
    too_large = MessageError("a record of 1048400 bytes")
    broker.fail("send", too_large, too_large)  # whole, and cut
    letters = Letters(broker.producer(), "{}.dead".format, "w", broker.runtime)
    run = Columns(TopicPartition("t", 0), [7], None, [b"x"], None, [0])
    with pytest.raises(ConfigError, match="a dead letter of 't' is too large for its topic"):
        letters.bury(run, {0: "bad"}, "decode")
