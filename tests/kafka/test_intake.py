"""Records out of librdkafka by our extension, beside those out of confluent-kafka's messages."""

import contextlib
import itertools
import os
import shutil
import subprocess
import sys
import sysconfig
import uuid
from pathlib import Path

import confluent_kafka
import numpy as np
import pytest

from streamzarr.errors import OffsetOutOfRangeError
from streamzarr.queue import NewRecord, TopicPartition, open_broker
from streamzarr.queue.columns import Columns
from streamzarr.queue.kafka import clients
from streamzarr.queue.kafka.extension import _found, extension
from streamzarr.queue.kafka.intake import ColumnIntake, MessageIntake, intake_of

SETTINGS = {"bootstrap.servers": "127.0.0.1:1", "group.id": "g", "log_level": 0}
EXTENSIONS = "STREAMZARR_NO_EXTENSIONS"

needs_extension = pytest.mark.skipif(extension() is None, reason="the extension was not built")


def test_the_extension_is_there_where_it_can_be_built():
    headers = Path(sysconfig.get_path("include"), "Python.h")
    if shutil.which("cc") is None or not headers.exists() or os.environ.get(EXTENSIONS):
        pytest.skip("no compiler, no headers of Python's, or not wanted")
    assert extension() is not None


@needs_extension
def test_what_is_asked_for_is_how_records_are_taken(monkeypatch):
    assert isinstance(intake_of(clients.Source(SETTINGS), 1), ColumnIntake)
    monkeypatch.setenv(EXTENSIONS, "1")
    source = clients.Source(SETTINGS)
    assert source.intake is None
    assert isinstance(intake_of(source, 1), MessageIntake)


@needs_extension
def test_an_intake_ends_with_its_client():
    source = clients.Source(SETTINGS)
    intake = source.intake
    assert intake.take(10, 64) == ([], [])
    for count, most in [(0, 64), (-1, 64), (1_000_001, 64), (1, -1)]:
        with pytest.raises(ValueError, match="expected a count of 1 to 1,000,000"):
            intake.take(count, most)
    source.close()
    for call in (lambda: intake.take(1, 64), lambda: intake.forward("t", 0), lambda: intake.wait(0.0)):
        with pytest.raises(RuntimeError, match="closed"):
            call()


@needs_extension
def test_a_client_may_go_before_its_intake_or_behind_it():
    for _ in range(20):
        source = clients.Source(SETTINGS)
        intake = source.intake
        del source
        with pytest.raises(RuntimeError, match="closed"):
            intake.take(1, 64)
        source = clients.Source(SETTINGS)
        source.intake = None
        del source


@needs_extension
def test_what_is_never_claimed_or_gone_by_then_does_no_harm():
    import streamzarr.queue.kafka._intake as module

    for _ in range(3):
        raw = clients.Consumer({**SETTINGS, "plugin.library.paths": module.__file__})
        raw.close()
        assert module.claim() is None
        clients.Consumer({**SETTINGS, "plugin.library.paths": module.__file__}).close()
        assert clients.Source(SETTINGS).intake is not None


@needs_extension
def test_other_plugins_are_kept():
    with pytest.raises(Exception, match=r"no-such-plugin"):
        clients.Source({**SETTINGS, "plugin.library.paths": "no-such-plugin"})
    assert clients.Source(SETTINGS).intake is not None


PRODUCE_ODD_NAME = r"""
library, server, topic = sys.argv[1:]
rd = ctypes.CDLL(library)
rd.rd_kafka_conf_new.restype = rd.rd_kafka_new.restype = ctypes.c_void_p
text = ctypes.create_string_buffer(500)
conf = ctypes.c_void_p(rd.rd_kafka_conf_new())
rd.rd_kafka_conf_set(conf, b"bootstrap.servers", server.encode(), text, 500)
client = ctypes.c_void_p(rd.rd_kafka_new(0, conf, text, 500))
for number, name in enumerate([b"ok", b"\xff\xfe", b"ok"]):
    error = rd.rd_kafka_producev(
        client,
        *(ctypes.c_int(1), ctypes.c_char_p(topic.encode())),
        *(ctypes.c_int(4), ctypes.c_char_p(b"%d" % number), ctypes.c_size_t(1)),
        *(ctypes.c_int(7), ctypes.c_int(2)),
        *(ctypes.c_int(9), ctypes.c_char_p(name), ctypes.c_char_p(b"v"), ctypes.c_ssize_t(1)),
        ctypes.c_int(0),
    )
    assert error == 0
assert rd.rd_kafka_flush(client, 30_000) == 0
"""
"""Through librdkafka itself, for Python's producer takes names in UTF-8 only."""


def various():
    """Records of every kind that a topic can hold, and many of one size."""
    yield NewRecord(b"", partition=0)
    yield NewRecord(None, key=b"k", partition=0)
    yield NewRecord(b"v\n\n", key=b"", partition=0, headers=(("a", b"1"), ("a", b""), ("é", b"\x00")))
    for number in range(3000):
        yield NewRecord(b"%032d" % number, partition=1, key=b"%d" % (number % 7), timestamp=10**12 + number)
        yield NewRecord(bytes([number % 251]) * (number % 100), partition=2)
    for number in range(40):
        key = None if number % 3 else b"x" * 9000
        yield NewRecord(bytes([number]) * 20_000, key=key, partition=number % 2 * 2)


@pytest.fixture(scope="module")
def topic(kafka_broker_url):
    name = f"topic-{uuid.uuid4().hex[:12]}"
    with open_broker(kafka_broker_url) as broker, broker.producer() as producer:
        broker.create_topic(name, 3)
        records = list(various())
        for at in range(0, len(records), 500):
            producer.send(name, records[at : at + 500])
        producer.flush()
    return name


def ends_of(broker, topic):
    return {TopicPartition(topic, number): end for number, end in broker.describe(topic).end.items()}


def all_of(reader, ends, max_records, max_bytes=None):
    found = {place: [] for place in ends}
    while reader.positions() != ends:
        for run in reader.poll_columns(max_records, 10.0, max_bytes):
            assert run.nbytes == sum(run.sizes)
            assert run.timestamps.tolist() == [record.timestamp for record in run.records()]
            found[run.where] += run.records()
    return found


@needs_extension
@pytest.mark.kafka
@pytest.mark.parametrize(("max_records", "max_bytes"), [(7, None), (1000, 50_000), (100_000, None)])
@pytest.mark.parametrize("packed", [True, False])
def test_both_ways_give_the_same_records(
    kafka_broker_url, topic, max_records, max_bytes, packed, monkeypatch
):
    found = []
    for without in ("", "1"):
        monkeypatch.setenv(EXTENSIONS, without)
        with open_broker(kafka_broker_url) as broker, broker.reader(topic) as reader:
            assert (reader._handle.client.intake is None) == bool(without)
            reader._fetcher.packed = packed
            found.append(all_of(reader, ends_of(broker, topic), max_records, max_bytes))
    assert found[0] == found[1]
    assert sum(map(len, found[0].values())) == 6043


@needs_extension
@pytest.mark.kafka
def test_many_of_one_size_come_in_one_piece_and_by_machine_integers(kafka_broker_url, topic):
    with open_broker(kafka_broker_url) as broker, broker.reader(topic) as reader:
        reader._fetcher.packed = True
        runs = []
        while reader.positions() != ends_of(broker, topic):
            runs += reader.poll_columns(100_000, 10.0)
    ticks = [run for run in runs if run.partition == 1 and run.packed is not None]
    assert ticks
    first, *others = ticks
    whole = first.joined(*others)
    at = whole.timestamps - 10**12
    assert at.dtype == np.int64
    assert whole.packed.data == b"\n".join(b"%032d" % number for number in at)


@needs_extension
@pytest.mark.kafka
def test_what_is_wrong_with_a_partition_is_told_behind_its_records(kafka_broker_url, broker):
    topic = f"topic-{uuid.uuid4().hex[:12]}"
    broker.create_topic(topic, 1)
    with broker.producer() as producer:
        producer.send(topic, [NewRecord(b"%d" % number) for number in range(10)])
        producer.flush()
    broker.trim(topic, {0: 5})
    with broker.reader(topic, start={0: 3}) as reader, pytest.raises(OffsetOutOfRangeError) as told:
        reader.poll(10, 20.0)
    assert (told.value.position, told.value.begin, told.value.end) == (3, 5, 10)


class BreaksOff:
    """Takes records, and is interrupted with them in its hands, one time in three."""

    def __init__(self, intake):
        self.intake, self.calls = intake, 0

    def take(self, count, *, packed):
        taken = self.intake.take(count, packed=packed)
        self.calls += 1
        if self.calls % 3 == 0 and taken.runs:
            raise (KeyboardInterrupt, MemoryError)[self.calls % 2]
        return taken

    def look(self, timeout, *, packed):
        return self.intake.look(timeout, packed=packed)


@pytest.mark.kafka
@pytest.mark.parametrize("without", ["", "1"])
@pytest.mark.parametrize("member", [True, False])
def test_what_was_in_its_hands_when_it_was_broken_off_is_read_again(
    kafka_broker_url, topic, member, without, monkeypatch
):
    monkeypatch.setenv(EXTENSIONS, without)
    with open_broker(kafka_broker_url) as broker, contextlib.ExitStack() as stack:
        ends = ends_of(broker, topic)
        reader = broker.consumer([topic], uuid.uuid4().hex) if member else broker.reader(topic)
        stack.enter_context(reader)
        reader._fetcher._intake = BreaksOff(reader._fetcher._intake)
        found = {place: [] for place in ends}
        while reader.positions() != ends:
            with contextlib.suppress(KeyboardInterrupt, MemoryError):
                for record in reader.poll(700, 10.0):
                    found[record[:2]].append(record.offset)
    assert found == {place: list(range(end)) for place, end in ends.items()}
    assert reader._fetcher._intake.calls > 10


@pytest.mark.kafka
@pytest.mark.parametrize("method", ["joined", "records"])
@pytest.mark.parametrize("member", [True, False])
def test_what_was_on_its_way_out_is_given_again(kafka_broker_url, topic, member, method, monkeypatch):
    calls, real = itertools.count(), getattr(Columns, method)

    def interrupted(run, *others):
        if next(calls) % 3 == 0:
            raise KeyboardInterrupt
        return real(run, *others)

    with open_broker(kafka_broker_url) as broker, contextlib.ExitStack() as stack:
        ends = ends_of(broker, topic)
        reader = broker.consumer([topic], uuid.uuid4().hex) if member else broker.reader(topic)
        stack.enter_context(reader)
        monkeypatch.setattr(Columns, method, interrupted)
        found = {place: [] for place in ends}
        while reader.positions() != ends:
            with contextlib.suppress(KeyboardInterrupt):
                for record in reader.poll(700, 10.0):
                    found[record[:2]].append(record.offset)
    assert found == {place: list(range(end)) for place, end in ends.items()}
    assert next(calls) > 10


@pytest.mark.kafka
def test_a_commit_in_between_does_not_hide_that_a_poll_was_broken_off(kafka_broker_url, topic, monkeypatch):
    with open_broker(kafka_broker_url) as broker, broker.consumer([topic], uuid.uuid4().hex) as consumer:
        ends = ends_of(broker, topic)
        found = {place: [] for place in ends}
        intake = consumer._fetcher._intake = BreaksOff(consumer._fetcher._intake)
        monkeypatch.setattr(consumer, "_is_stored", lambda expected, deadline: False)  # so it has to wait
        while consumer.positions() != ends:
            try:
                for record in consumer.poll(700, 10.0):
                    found[record[:2]].append(record.offset)
            except (KeyboardInterrupt, MemoryError):
                consumer.commit(consumer.positions())
                assert consumer._fetcher.broken_off
    assert found == {place: list(range(end)) for place, end in ends.items()}
    assert intake.calls > 10


@pytest.mark.kafka
@pytest.mark.parametrize("without", ["", "1"])
def test_a_header_that_cannot_be_read_costs_no_record(kafka_broker_url, broker, without, monkeypatch):
    monkeypatch.setenv(EXTENSIONS, without)
    topic = f"topic-{uuid.uuid4().hex[:12]}"
    broker.create_topic(topic, 1)
    server = kafka_broker_url.removeprefix("kafka://")
    produce = "import sys, ctypes\n" + PRODUCE_ODD_NAME
    library = next(Path(confluent_kafka.__file__).parents[1].glob("confluent_kafka.libs/librdkafka*"), None)
    if library is None:
        pytest.skip("librdkafka is somewhere else")
    subprocess.run([sys.executable, "-c", produce, str(library), server, topic], check=True, timeout=60)
    with open_broker(kafka_broker_url) as broker, broker.reader(topic) as reader:
        records = []
        while len(records) < 3:
            records += reader.poll(10, 10.0)
    assert [record.value for record in records] == [b"0", b"1", b"2"]
    odd = () if without else (("\ufffd\ufffd", b"v"),)
    assert [record.headers for record in records] == [(("ok", b"v"),), odd, (("ok", b"v"),)]


@needs_extension
@pytest.mark.kafka
def test_waiting_for_longer_than_the_poll_interval_is_no_hanging(kafka_broker_url, topic):
    with (
        open_broker(f"{kafka_broker_url}?group.protocol=classic") as broker,
        broker.consumer([topic], uuid.uuid4().hex, session_timeout=6.0, max_poll_interval=6.0) as consumer,
    ):
        ends = ends_of(broker, topic)
        while consumer.positions() != ends:
            consumer.poll(10_000, 1.0)
        assert consumer.poll(1, 14.0) == []
        assert consumer.assignment() == ends.keys()
        consumer.commit(ends)


@needs_extension
def test_an_extension_that_cannot_be_used_is_passed_over(monkeypatch, caplog):
    import streamzarr.queue.kafka._intake as module

    caplog.set_level("INFO", "streamzarr.queue.kafka")
    for attribute, value, why in [
        ("INTERFACE", 0, "of another version"),
        ("__file__", "/a;b/_intake.so", "cannot be told of '/a;b/_intake.so'"),
        ("__file__", "/\udcc3/_intake.so", "cannot be told of"),
    ]:
        with monkeypatch.context() as patch:
            patch.setattr(module, attribute, value)
            _found.cache_clear()
            assert clients.Source(SETTINGS).intake is None
            assert why in caplog.messages[-1]
    with monkeypatch.context() as patch:  # as a librdkafka without plugins does
        patch.setattr(module, "__file__", "/no/such/plugin.so")
        _found.cache_clear()
        assert clients.Source(SETTINGS).intake is None
    _found.cache_clear()
    assert clients.Source(SETTINGS).intake is not None
