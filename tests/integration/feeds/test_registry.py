"""A feed whose schemas are in a registry: it waits while that is away, and no record suffers."""

import io
import struct

import pytest

from streamzarr.feeds.decode import registry
from tests.support.feeds import FeedBench, until
from tests.support.schema_registry import SchemaRegistry

fastavro = pytest.importorskip("fastavro")
TICK = {"type": "record", "name": "Tick", "fields": [{"name": "n", "type": "long"}]}


def framed(number: int, schema: int = 7) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(TICK), {"n": number})
    return b"\0" + struct.pack(">I", schema) + out.getvalue()


def test_a_feed_waits_for_its_registry(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "PATIENCE", 0.2)
    bench = FeedBench(f"sqlite:///{tmp_path}/queue.db", tmp_path, partitions=1)
    bench.send(*map(framed, range(50)))
    with SchemaRegistry({7: TICK}, fails=1_000_000) as served:
        feed = bench.feed(decode={"format": "avro", "registry": served.url}, columns={"n": "i8"})
        with bench.running(feed) as ended:
            until(lambda: len(served.asked) > 3 or ended, "some questions")
            assert not ended
            served.fails = 0
            until(lambda: bench.caught_up(feed) or ended, "the end of the topic")
    assert bench.streams()["p00000"]["n"][:].tolist() == list(range(50))
    assert bench.report(ended).ok == 50


def test_records_behind_those_that_wait_for_a_schema_wait_too(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "PATIENCE", 0.2)
    bench = FeedBench(f"sqlite:///{tmp_path}/queue.db", tmp_path, partitions=1)
    for number in range(6):  # each a run of its own, which one poll gives together
        bench.send(framed(number, schema=7 + number % 2))
    with SchemaRegistry({7: TICK, 8: TICK}) as served:
        served.away = {8}
        feed = bench.feed(decode={"format": "avro", "registry": served.url}, columns={"n": "i8"})
        with bench.running(feed) as ended:
            until(lambda: served.asked.count("/schemas/ids/8") > 3 or ended, "some questions")
            served.away = set()
            until(lambda: bench.caught_up(feed) or ended, "the end of the topic")
            assert not ended
    assert bench.streams()["p00000"]["n"][:].tolist() == list(range(6))
