"""A feed whose schemas are in a registry: it waits while that is away, and no record suffers."""

import io
import struct

import pytest

from streamzarr.feeds.decode import registry
from tests.support.feeds import FeedBench, until
from tests.support.schema_registry import SchemaRegistry

fastavro = pytest.importorskip("fastavro")
TICK = {"type": "record", "name": "Tick", "fields": [{"name": "n", "type": "long"}]}


def framed(number: int) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(TICK), {"n": number})
    return b"\0" + struct.pack(">I", 7) + out.getvalue()


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
