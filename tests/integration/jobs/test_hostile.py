"""What others may write to the topics: it costs them a dead letter, and nobody else anything."""

import msgspec
import numpy as np
import pytest

import streamzarr as sz
from streamzarr import jobs
from streamzarr.errors import ConfigError, LimitExceededError, MessageError
from streamzarr.jobs.wire import JOB_HEADER, TASK_HEADER
from streamzarr.queue.base import NewRecord
from streamzarr.queue.deadletter import DeadLetter
from streamzarr.queue.letters import DeadLetterQueue


def source(bench, n=8):
    data = np.arange(n * 16, dtype="i4")
    sz.create_array(bench.url("a.zarr"), data=data, chunks=(16,))
    return data


def send(bench, topic, *records):
    with bench.open() as broker, broker.producer() as producer:
        bench.topics.ensure(broker)
        producer.send(topic, records)
        producer.flush()


LAYOUT = {"shape": [4], "chunks": [2], "dtype": "<i4", "zarr_format": 3, "codecs": []}
STAGE = {"operation": "copy", "source": "file:///a", "target": "file:///b", "layout": LAYOUT}


def submitted(**changes):
    event = {
        "type": "submitted",
        "job": "X",
        "kind": "copy",
        "stages": [STAGE],
        "created": 0,
        "results_from": 0,
    }
    return msgspec.json.encode({**event, **changes})


@pytest.mark.parametrize(
    "value",
    [
        b'{"type":"cancelled","job":"\xff"}',
        b"\x00" * 100,
        None,
        submitted(stages=[]),
        submitted(stages=[{**STAGE, "layout": {**LAYOUT, "chunks": [0]}}]),
        submitted(stages=[{**STAGE, "layout": {**LAYOUT, "chunks": [2, 2]}}]),
        submitted(stages=[{**STAGE, "layout": {**LAYOUT, "shape": [2**50]}}]),
        submitted(stages=[{**STAGE, "layout": {**LAYOUT, "shape": [-4]}}]),
        submitted(job="x" * 1000),
    ],
)
def test_a_bad_record_in_the_register_stops_nobody(embedded, value):
    data = source(embedded)
    send(embedded, embedded.topics.jobs, NewRecord(value))
    assert embedded.run("copy", "a.zarr", "b.zarr").complete
    np.testing.assert_array_equal(sz.open_array(embedded.url("b.zarr"))[...], data)
    with embedded.open() as broker:
        assert [report.state for report in jobs.read_jobs(broker, embedded.topics)] == ["done"]


def test_bad_results_under_a_jobs_key_are_counted_and_passed_over(embedded):
    source(embedded)
    with embedded.submit("copy", "a.zarr", "b.zarr") as job:
        bad = [
            b"\xff",
            None,
            b'{"job":"\xff","worker":""}',
            b'{"job":"j","worker":"w","written":[[-5,1,1],[9,1,1]]}',
            b'{"job":"j","worker":"w","written":[[1,-10,1]]}',
            b'{"job":"j","worker":"w","written":[[1,1,-100]]}',
            b'{"job":"j","worker":"w","written":[[1,1,%d]]}' % 2**62,
            b'{"job":"j","worker":"w","dead":[[1,%d,"E"]]}' % 10**30,
        ]
        send(embedded, embedded.topics.results, *(NewRecord(value, key=job.id.encode()) for value in bad))
        with embedded.fleet():
            report = job.wait(60)
    assert (report.state, report.written, report.malformed) == ("done", 8, 7)
    with embedded.open() as broker:  # totals that are no counts would be an end that nobody can read
        (entry,) = jobs.read_register(broker, embedded.topics).values()
    assert entry.done


def test_a_huge_message_is_a_dead_letter_that_is_cut(bench):
    source(bench)
    headers = ((JOB_HEADER, b"01NOTAJOB"), (TASK_HEADER, b"3"))
    send(bench, bench.topics.tasks, NewRecord(b"x" * 990_000, key=b"k", headers=headers))
    assert bench.run("copy", "a.zarr", "b.zarr").complete
    with bench.open() as broker:
        queue = DeadLetterQueue(broker, bench.topics.dead)
        [(id_, letter)] = queue.ls()
        assert letter.error_class == "LimitExceededError"
        assert letter.value == b"x" * 4096
        assert letter.headers == (("streamzarr.cut", b"990040"), *headers)
        with pytest.raises(MessageError, match="cannot be replayed, only dropped"):
            jobs.replay(broker, bench.topics, [(id_, letter)])
        assert queue.drop([(id_, letter)]) == 1


def test_a_task_that_cannot_be_decoded_is_dead_for_its_job(embedded):
    source(embedded)
    with embedded.submit("copy", "a.zarr", "b.zarr", max_lag=1) as job:
        headers = ((JOB_HEADER, job.id.encode()), (TASK_HEADER, b"7"))
        send(embedded, embedded.topics.tasks, NewRecord(b'{"v":2}', headers=headers))
        with embedded.fleet():
            report = job.wait(60)
    # The whole task 7 came as well, in its turn.
    assert report.written + report.dead == 8
    with embedded.open() as broker:
        [(_, letter)] = DeadLetterQueue(broker, embedded.topics.dead).ls()
    assert (letter.error_class, letter.stage) == ("MessageError", "decode")


def test_a_forged_letter_cannot_be_sent_anywhere(embedded):
    source(embedded)
    forged = DeadLetter(b"k", b"v", (), 0, embedded.topics.jobs, 0, 0, "E", "m", "s", 1, 0, "w")
    send(embedded, embedded.topics.dead, forged.to_record())
    with embedded.open() as broker:
        before = broker.describe(embedded.topics.jobs).end
        with pytest.raises(MessageError, match="only dropped"):
            jobs.replay(broker, embedded.topics, DeadLetterQueue(broker, embedded.topics.dead).ls())
        assert broker.describe(embedded.topics.jobs).end == before


def test_params_that_make_huge_tasks_are_refused(embedded, transforms):
    source(embedded)
    with pytest.raises(ConfigError, match="smaller params"):
        embedded.submit("map", "a.zarr", "b.zarr", transform="plus_one", params={"x": "y" * 2**20})


def test_a_factor_that_would_fill_the_memory_is_refused(embedded):
    sz.create_array(embedded.url("big.zarr"), shape=(2**20, 2**20), chunks=(1024, 1024), dtype="f8")
    with pytest.raises(LimitExceededError, match="smaller factor"):
        embedded.submit("downsample", "big.zarr", "p.zarr", factor=64)


def test_queued_tasks_of_an_earlier_job_do_not_touch_a_target_made_anew(embedded, transforms):
    data = source(embedded)
    with embedded.submit("map", "a.zarr", "b.zarr", transform="celsius", dtype="f8") as old:
        embedded.until_emitted(8)
    with (
        embedded.submit("map", "a.zarr", "b.zarr", transform="plus_one", dtype="f8", overwrite=True) as new,
        embedded.fleet(transforms=transforms),
    ):
        assert new.wait(60).complete
        with embedded.watch(old.id) as watched:
            assert watched.progress().state == "cancelled"
    np.testing.assert_array_equal(sz.open_array(embedded.url("b.zarr"))[...], data + 1.0)


def test_a_sharded_target_keeps_its_shards_and_each_is_one_task(embedded):
    data = np.arange(1000, dtype="i4")
    sz.create_array(embedded.url("a.zarr"), data=data, chunks=(10,), shards=(500,))
    report = embedded.run("copy", "a.zarr", "b.zarr")
    assert (report.written, report.state) == (2, "done")
    array = sz.open_array(embedded.url("b.zarr"))
    assert (array.chunks, array.shards) == ((10,), (500,))
    np.testing.assert_array_equal(array[...], data)
