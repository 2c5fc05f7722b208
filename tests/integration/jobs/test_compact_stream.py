"""Compacting a stream as a job, while it is written, read and shortened; every reader sees the same rows."""

import shutil
import threading

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

import streamzarr as sz
from streamzarr import jobs
from streamzarr.cli.main import cli
from streamzarr.errors import ConfigError, MessageError, NodeNotFoundError, SourceChangedError
from streamzarr.jobs.shards import open_shards
from streamzarr.queue.letters import DeadLetterQueue
from streamzarr.stores import MemoryStore
from tests.support.kinds_of_fields import SCHEMA, batch


def started(bench, rows=47):
    writer = sz.StreamWriter(bench.url("log"), schema=SCHEMA)
    writer.append(batch(0, rows))
    writer.commit()
    return writer


def compact(bench, **options):
    return jobs.compact_stream(bench.url("log"), broker=bench.broker, prefix=bench.prefix, **options)


def assert_rows(snapshot, first_row, rows):
    assert (snapshot.first_row, snapshot.rows) == (first_row, rows)
    for name, values in batch(first_row, rows).items():
        assert snapshot[name][:].tolist() == np.asarray(values).tolist(), name


@pytest.mark.parametrize("delete", [False, True])
def test_a_job_compacts_as_the_call_does(bench, delete):
    started(bench)
    shutil.copytree(bench.url("log"), bench.url("same"))
    before = sz.open_stream(bench.url("log"))
    called = sz.stream.compact(bench.url("same"), chunks=3, delete=delete)
    with bench.fleet(2), compact(bench, chunks=3, delete=delete) as job:
        report = job.wait(60)
    assert (report.kind, report.state, report.written, report.dead) == ("compact", "done", called.shards, 0)
    now = sz.open_stream(bench.url("log"))
    assert now.record.sealed == called.sealed == {"x": 36, "y": 45, "name": 45, "zero": 42}
    for snapshot in (before, before.refresh(), now):
        assert_rows(snapshot, 0, 47)
    ours, theirs = (sz.stores.open_store(bench.url(name)) for name in ("log", "same"))
    assert [*ours.list("x")] == [*theirs.list("x")]
    assert {key: ours.get(key) for key in ours.list("shards/x/c")} == {
        key: theirs.get(key) for key in theirs.list("shards/x/c")
    }
    assert sz.stream.check(bench.url("log")).findings == ()


def test_the_stream_is_written_meanwhile_and_the_next_job_does_the_rest(embedded):
    writer, stop = started(embedded), threading.Event()

    def write():
        while not stop.is_set() or writer.rows < 100:
            writer.append(batch(writer.rows, writer.rows + 7))
            writer.commit()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        with embedded.fleet(1):
            for _ in range(3):
                with compact(embedded, chunks=2, delete=True) as job:
                    assert job.wait(60).state == "done"
            stop.set()
            thread.join()
            with compact(embedded) as job:
                assert job.wait(60).state == "done"
            with compact(embedded) as job:
                assert job.wait(60).written == 0
    finally:
        stop.set()
        thread.join()
    now = sz.open_stream(embedded.url("log"))
    assert_rows(now, 0, writer.rows)
    assert now.record.sealed["x"] == (writer.rows - 1) // 4 * 4 // 8 * 8
    assert sz.stream.check(embedded.url("log")).is_sound


def test_rows_that_were_given_up_are_in_no_shard_that_is_read(embedded):
    started(embedded, 90)
    with compact(embedded, chunks=3) as job:
        embedded.until_emitted(1)
        first = sz.stream.retain(embedded.url("log"), rows=40).first_row
        with embedded.fleet(1):
            assert job.wait(60).state == "done"
    now = sz.open_stream(embedded.url("log"))
    assert now.record.sealed["x"] == 84
    assert_rows(now, first, 90)
    sz.stream.repair(embedded.url("log"))
    assert sz.stream.check(embedded.url("log")).findings == ()


def test_only_chunks_of_the_fields_that_were_chosen_are_deleted(embedded):
    started(embedded)
    sz.stream.compact(embedded.url("log"), chunks=3)
    store = sz.stores.open_store(embedded.url("log"))
    kept = [*store.list("y/c")]
    with embedded.fleet(1), compact(embedded, fields=["x"], delete=True) as job:
        job.wait(60)
    assert [*store.list("y/c")] == kept
    assert not store.exists("x/c/0")


def test_nothing_is_read_from_shards_while_one_could_not_be_made(embedded):
    started(embedded)
    store = sz.stores.open_store(embedded.url("log"))
    good = store.get("x/c/1")
    store.put("x/c/1", b"damaged")
    with embedded.fleet(1), embedded.open() as broker, compact(embedded, chunks=3, fields=["x"]) as job:
        report = job.wait(60)
        assert (report.state, report.written, report.dead) == ("incomplete", 2, 1)
        assert sz.open_stream(embedded.url("log")).record.sealed["x"] == 0
        (found,) = DeadLetterQueue(broker, embedded.topics.dead).ls()
        assert "x" in found[1].message
        store.put("x/c/1", good)
        assert jobs.replay(broker, embedded.topics, [found]) == 1
        with embedded.resume(job.id) as again:
            assert again.wait(60).state == "done"
    now = sz.open_stream(embedded.url("log"))
    assert now.record.sealed == {"x": 36, "y": 0, "name": 0, "zero": 0}
    assert_rows(now, 0, 47)


def test_a_job_whose_submitter_was_killed_is_sealed_by_whoever_goes_on(embedded):
    started(embedded)
    compact(embedded, chunks=3, delete=True).close()
    with embedded.fleet(1), embedded.resume(jobs.read_jobs(embedded.open(), embedded.topics)[0].job) as job:
        assert job.wait(60).state == "done"
    now = sz.open_stream(embedded.url("log"))
    assert now.record.sealed["x"] == 36
    assert_rows(now, 0, 47)


def test_another_stream_in_the_place_is_not_touched(embedded):
    started(embedded)
    with compact(embedded, chunks=3) as job:
        embedded.until_emitted(1)
        shutil.rmtree(embedded.url("log"))
        started(embedded, 60)
        sz.stream.compact(embedded.url("log"), chunks=3)
        before = dict.fromkeys(sz.stores.open_store(embedded.url("log")).list())
        with embedded.fleet(1):
            report = job.wait(60)
    assert (report.state, report.written) == ("incomplete", 0)
    assert before == dict.fromkeys(sz.stores.open_store(embedded.url("log")).list())
    with pytest.raises(SourceChangedError, match="submit the job again"):
        embedded.resume(job.id)
    assert_rows(sz.open_stream(embedded.url("log")), 0, 60)


def test_what_cannot_be_compacted_says_so(embedded):
    with pytest.raises(NodeNotFoundError, match="no stream"):
        compact(embedded)
    started(embedded)
    with pytest.raises(ConfigError, match="no field 'z'"):
        compact(embedded, fields=["z"])
    with pytest.raises(ConfigError, match="expected 1 to 64"):
        compact(embedded, fields=[])
    with pytest.raises(ConfigError, match="only this process can see it"):
        jobs.compact_stream(MemoryStore(), broker=embedded.broker)
    with pytest.raises(ConfigError, match="unknown scheme 'nope'"):
        jobs.compact_stream(embedded.url("log"), broker="nope://x", chunks=99)
    assert sz.open_stream(embedded.url("log")).record.sealed == {}
    with embedded.fleet(1, roots=["/tmp/elsewhere"]), compact(embedded, chunks=3) as job:
        report = job.wait(60)
        assert (report.state, report.written) == ("incomplete", 0)


def test_shards_are_put_only_where_those_of_the_stream_are(embedded):
    started(embedded)
    with compact(embedded, chunks=3) as job:
        stage = job.plan.stages[0]
    elsewhere = msgspec.structs.replace(stage, target=embedded.url("other"))
    with pytest.raises(MessageError, match="not where the shards"):
        open_shards(elsewhere)
    outside = msgspec.structs.replace(stage.gather, field="../log/x")
    with pytest.raises((MessageError, ConfigError)):
        open_shards(msgspec.structs.replace(stage, gather=outside))


def test_the_command_takes_a_broker(embedded):
    started(embedded)
    words = ["stream", "compact", "--chunks", "3", "--prefix", embedded.prefix, "--json"]
    with embedded.fleet(1):
        result = CliRunner().invoke(cli, [*words, "--broker", embedded.broker, embedded.url("log")])
    assert result.exit_code == 0, result.output
    assert '"kind":"compact"' in result.stdout.replace(" ", "")
    assert sz.open_stream(embedded.url("log")).record.sealed["x"] == 36


def test_the_command_takes_fields_of_a_job(embedded):
    started(embedded)
    words = ["stream", "compact", "--chunks", "3", "--field", "x"]
    with embedded.fleet(1):
        job = [*words, "--prefix", embedded.prefix, "--broker", embedded.broker]
        result = CliRunner().invoke(cli, [*job, embedded.url("log")])
    assert result.exit_code == 0, result.output
    assert sz.open_stream(embedded.url("log")).record.sealed == {"x": 36, "y": 0, "name": 0, "zero": 0}
    result = CliRunner().invoke(cli, [*words, embedded.url("log")])
    assert (result.exit_code, "give a --broker" in result.output) == (2, True)
