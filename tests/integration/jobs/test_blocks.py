"""Tasks of many chunks: what is sent, counted and reconciled is chunks, of whichever task."""

import time
from importlib import import_module

import numpy as np
import pytest
from click.testing import CliRunner
from msgspec import structs

import streamzarr as sz
from streamzarr import jobs
from streamzarr.cli.main import cli
from streamzarr.jobs.letters import open_letters
from streamzarr.jobs.numbering import Numbering
from streamzarr.jobs.wire import Dead, Results, Written, decode_task, encode, headers_of, key_of, task_of
from streamzarr.queue.base import NewRecord, Record
from streamzarr.queue.deadletter import DeadLetter

BLOCKS = [range(8), range(8, 12), range(12, 20), range(20, 24)]
"""Of a grid of 4 x 6 chunks, cut into blocks of 2 x 4."""


@pytest.fixture
def cut(monkeypatch):
    """The tasks of jobs on grids of two axes are blocks of 2 x 4 chunks."""
    submit = import_module("streamzarr.jobs.submit")  # the package has the function by this name
    make_stages = submit.make_stages

    def make(*args, **options):
        return [structs.replace(stage, block=(2, 4)) for stage in make_stages(*args, **options)]

    monkeypatch.setattr(submit, "make_stages", make)


@pytest.fixture
def blocks(embedded, cut):
    """What a worker does to a job of 24 chunks, whose tasks are blocks of them."""
    source(embedded)
    with embedded.open() as broker:
        yield Worker(embedded, broker)


def source(bench):
    data = np.arange(24, dtype="i4").reshape(4, 6)
    sz.create_array(bench.url("a.zarr"), data=data, chunks=(1, 1), fill_value=-1)
    return data


class Worker:
    """What workers do to the topics, step by step."""

    def __init__(self, bench, broker):
        self.bench, self.broker, self.topics = bench, broker, bench.topics

    def records(self):
        found = []
        with self.broker.reader(self.topics.tasks) as reader:
            while records := reader.poll(1000, timeout=0):
                found += records
        return sorted(found, key=lambda record: task_of(record.headers)[1].start)

    def queued(self):
        return [task_of(record.headers)[1] for record in self.records()]

    def until_queued(self, runs):
        self.bench.until_emitted(len(runs))
        assert self.queued() == runs

    def take(self):
        """Have no task queued any more."""
        self.broker.trim(self.topics.tasks, self.broker.describe(self.topics.tasks).end)

    def tell(self, job, *, written=(), dead=(), skipped=()):
        results = Results(
            job.id,
            "w",
            tuple(Written(run.start, 1, 4 * len(run), len(run)) for run in written),
            tuple(Dead(run.start, 1, "ValueError", len(run)) for run in dead),
            tuple((run.start, len(run)) for run in skipped),
        )
        self._send(self.topics.results, NewRecord(encode(results), key=job.id.encode()))

    def bury(self, record, run, plan):
        """Leave the letter of those chunks of a task that failed."""
        task = structs.replace(
            decode_task(record.value), task=run.start, count=len(run), chunk=plan.chunk(run.start)
        )
        part = record._replace(
            value=encode(task), key=key_of(task.job, run), headers=headers_of(task.job, run)
        )
        letter = DeadLetter.of(Record(*part), error=ValueError(f"cannot take {run}"), stage="execute")
        self._send(self.topics.dead, letter.to_record())

    def _send(self, topic, record):
        with self.broker.producer() as producer:
            producer.send(topic, [record])


def until_sent(job, chunks):
    """Wait until the tasks of so many chunks count as sent."""
    deadline = time.monotonic() + 60
    while (report := job.wait(0.05)).emitted < chunks:
        assert time.monotonic() < deadline, report
    assert report.emitted == chunks


def dlq(worker, *args):
    where = ["--broker", worker.bench.broker, "--prefix", worker.bench.prefix]
    result = CliRunner().invoke(cli, ["dlq", *args, *where])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_task_is_a_block_and_chunks_are_counted(blocks):
    with blocks.bench.submit("copy", "a.zarr", "b.zarr") as job:
        blocks.until_queued(BLOCKS)
        records = blocks.records()
        tasks = [decode_task(record.value) for record in records]
        assert [task.numbers for task in tasks] == BLOCKS
        assert [task.chunk for task in tasks] == [(0, 0), (0, 4), (2, 0), (2, 4)]
        assert [record.partition for record in records] == [0, 1, 2, 3]
        assert len({record.key for record in records}) == 4
        until_sent(job, 24)
        assert (job.progress().tasks, job.progress().in_flight) == (24, 24)
        blocks.tell(job, written=[range(8), range(20, 22)])
        job.catch_up()
        report = job.progress()
        assert (report.written, report.bytes, report.in_flight) == (10, 40, 14)
        blocks.tell(job, written=BLOCKS)
        report = job.wait(60)
    assert (report.state, report.written, report.bytes, report.emitted) == ("done", 24, 96, 24)


def test_of_a_block_that_is_partly_written_the_open_runs_are_sent(blocks):
    with blocks.bench.submit("copy", "a.zarr", "b.zarr") as job:
        blocks.until_queued(BLOCKS)
    blocks.take()
    blocks.tell(job, written=[range(2, 5), range(8, 12), range(12, 14)], dead=[range(17, 18)])
    with blocks.bench.resume(job.id) as job:
        left = [range(2), range(5, 8), range(14, 17), range(18, 20), range(20, 24)]
        blocks.until_queued(left)
        blocks.tell(job, written=left)
        report = job.wait(60)
    assert (report.state, report.written, report.dead, report.emitted) == ("incomplete", 23, 1, 14)


def test_what_is_queued_of_a_block_is_not_sent_again(blocks):
    with blocks.bench.submit("copy", "a.zarr", "b.zarr", max_lag=2) as job:
        blocks.until_queued(BLOCKS[:2])
    with blocks.bench.resume(job.id) as job:
        blocks.until_queued(BLOCKS)
        until_sent(job, 12)
        assert job.progress().in_flight == 24
        blocks.tell(job, written=BLOCKS)
        assert job.wait(60).state == "done"


def test_runs_that_a_worker_skipped_are_sent_again(blocks):
    with blocks.bench.submit("copy", "a.zarr", "b.zarr") as job:
        blocks.until_queued(BLOCKS)
        blocks.take()
        blocks.tell(job, skipped=[range(8), range(10, 12)], written=BLOCKS[2:])
        again = [range(8), range(10, 12)]
        blocks.until_queued(again)
        until_sent(job, 34)
        assert job.progress().in_flight == 12
        blocks.tell(job, written=BLOCKS)
        assert job.wait(60).state == "done"


def test_one_chunk_of_a_block_is_a_dead_letter_that_is_replayed_alone(blocks):
    with blocks.bench.submit("copy", "a.zarr", "b.zarr") as job:
        blocks.until_queued(BLOCKS)
        first, failed = blocks.records()[0], [range(3, 4), range(6, 7)]
        blocks.take()
        for run in failed:
            blocks.bury(first, run, job.plan)
        blocks.tell(job, written=[range(3), range(4, 6), range(7, 8), *BLOCKS[1:]], dead=failed)
        report = job.wait(60)
        assert (report.state, report.written, report.dead) == ("incomplete", 22, 2)
        listed = dlq(blocks, "ls")
        assert "chunk [0, 3]" in listed
        assert "chunk [1, 2]" in listed
        assert "writes       chunk [0, 3] of file:///" in dlq(blocks, "show", "0")
        assert dlq(blocks, "replay", "0").startswith("replayed 1 dead letter\n")
        assert blocks.queued() == [range(3, 4)]
        job.catch_up()
        assert (job.progress().dead, len(open_letters(blocks.broker, blocks.topics))) == (1, 1)
        assert dlq(blocks, "replay", "--all").startswith("replayed 1 dead letter\n")
        assert blocks.queued() == failed
        blocks.tell(job, written=failed)
        assert job.wait(60).state == "done"
        assert open_letters(blocks.broker, blocks.topics) == []


def test_of_a_block_in_which_chunks_fail_the_others_are_written(bench, cut, transforms):
    data = source(bench)
    params = {"values": "9,14", "fixed": bench.url("fixed")}
    with (
        bench.open() as broker,
        bench.fleet(transforms=transforms),
        bench.submit("map", "a.zarr", "b.zarr", transform="fail_on", params=params) as job,
    ):
        report = job.wait(60)
        assert (report.state, report.written, report.dead) == ("incomplete", 22, 2)
        target = sz.open_array(bench.url("b.zarr"))
        np.testing.assert_array_equal(target[:], np.where(np.isin(data, [9, 14]), -1, data + 1))
        letters = open_letters(broker, bench.topics)
        assert sorted(decode_task(letter.value).chunk for _, letter in letters) == [(1, 3), (2, 2)]
        assert all("cannot take the value" in letter.message for _, letter in letters)
        (bench.folder / "fixed").touch()
        assert jobs.replay(broker, bench.topics, letters) == 2
        assert job.wait(60).state == "done"
        np.testing.assert_array_equal(target[:], data + 1)


def test_a_letter_of_a_whole_block_is_replayed_with_what_is_written_of_it(blocks):
    with blocks.bench.submit("copy", "a.zarr", "b.zarr") as job:
        blocks.until_queued(BLOCKS)
        [record, *_] = blocks.records()
        blocks.take()
        # The task could not be opened and its worker died; the next one wrote some of it before it failed.
        blocks.bury(record, BLOCKS[0], job.plan)
        blocks.tell(job, written=[range(6), *BLOCKS[1:]], dead=[range(6, 8)])
        assert job.wait(60).dead == 2
        assert "8 chunks from [0, 0]" in dlq(blocks, "ls")
        [letter] = open_letters(blocks.broker, blocks.topics)
        assert jobs.replay(blocks.broker, blocks.topics, [letter]) == 1
        assert blocks.queued() == [BLOCKS[0]]
        job.catch_up()
        assert (job.progress().written, job.progress().dead) == (22, 0)
        blocks.tell(job, written=[BLOCKS[0]])
        report = job.wait(60)
    assert (report.state, report.written, report.bytes) == ("done", 24, 96)


def test_letters_of_chunks_take_the_place_of_the_letter_of_their_task(blocks):
    with blocks.bench.submit("copy", "a.zarr", "b.zarr") as job:
        blocks.until_queued(BLOCKS)
        [record, *_] = blocks.records()
        blocks.bury(record, BLOCKS[0], job.plan)
        assert open_letters(blocks.broker, blocks.topics) == []  # queued still
        blocks.bury(record, range(2, 3), job.plan)
        blocks.tell(job, written=[range(2), range(3, 8), *BLOCKS[1:]], dead=[range(2, 3)])
        job.wait(60)
        [(_, letter)] = open_letters(blocks.broker, blocks.topics)
        assert task_of(letter.headers) == (job.id, range(2, 3))


def test_the_numbering_that_these_tests_have_in_mind(blocks):
    with blocks.bench.submit("copy", "a.zarr", "b.zarr") as job:
        assert list(Numbering.of(job.plan.stages).runs([range(24)])) == BLOCKS
