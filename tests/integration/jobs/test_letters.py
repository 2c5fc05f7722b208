"""Dead letters and ledgers agree, whatever a worker left behind when it died between the two."""

import numpy as np
import pytest
from click.testing import CliRunner

import streamzarr as sz
from streamzarr import jobs
from streamzarr.cli.main import cli
from streamzarr.errors import ConfigError
from streamzarr.jobs.letters import open_letters
from streamzarr.jobs.wire import task_of
from streamzarr.queue.deadletter import DeadLetter
from streamzarr.queue.letters import DeadLetterQueue


def source(bench, chunks=20):
    data = np.repeat(np.arange(chunks, dtype="i4"), 16)
    sz.create_array(bench.url("a.zarr"), data=data, chunks=(16,), fill_value=-1)
    return data


def die_after_the_letter(bench, broker, number):
    """Leave what a worker leaves that dies between a task's letter and its result."""
    with broker.reader(bench.topics.tasks) as reader:
        while records := reader.poll(1000, timeout=20):
            for record in records:
                if task_of(record.headers)[1] == range(number, number + 1):
                    letter = DeadLetter.of(record, error=ValueError("disk full"), stage="execute")
                    with broker.producer() as producer:
                        producer.send(bench.topics.dead, [letter.to_record()])
                    return
    raise AssertionError(f"no task {number}")


def test_a_task_that_is_written_has_no_open_letter(bench):
    source(bench)
    with bench.open() as broker, bench.submit("copy", "a.zarr", "b.zarr") as job:
        bench.until_emitted(20)
        die_after_the_letter(bench, broker, 7)
        # It is queued still, so it is not dead, as `job status` says too.
        assert open_letters(broker, bench.topics) == []
        assert jobs.read_jobs(broker, bench.topics)[0].dead == 0
        queue = DeadLetterQueue(broker, bench.topics.dead)
        assert len(queue.ls()) == 1
        with bench.fleet():
            report = job.wait(60)
        assert (report.written, report.dead, report.state) == (20, 0, "done")
        target = sz.open_array(bench.url("b.zarr"), mode="r+")
        target[:] = -5
        assert jobs.replay(broker, bench.topics, queue.ls()) == 0
        assert open_letters(broker, bench.topics) == []
        assert queue.ls() == []
    assert (target[:] == -5).all()


def test_a_task_that_failed_twice_has_one_letter(bench, transforms):
    data = source(bench)
    params = {"values": "3,5", "fixed": bench.url("fixed")}
    with (
        bench.open() as broker,
        bench.submit("map", "a.zarr", "b.zarr", transform="fail_on", params=params) as job,
    ):
        bench.until_emitted(20)
        die_after_the_letter(bench, broker, 3)
        with bench.fleet(transforms=transforms):
            report = job.wait(60)
            letters = open_letters(broker, bench.topics)
            assert (report.dead, len(letters), report.state) == (2, 2, "incomplete")
            assert jobs.read_jobs(broker, bench.topics)[0].dead == 2
            assert all("cannot take the value" in letter.message for _, letter in letters)
            (bench.folder / "fixed").touch()
            assert jobs.replay(broker, bench.topics, letters) == 2
            assert open_letters(broker, bench.topics) == []
            assert job.wait(60).state == "done"
    np.testing.assert_array_equal(sz.open_array(bench.url("b.zarr"))[...], data + 1)


def test_letters_of_a_cancelled_job_are_not_replayed(embedded, transforms):
    source(embedded)
    with (
        embedded.open() as broker,
        embedded.fleet(transforms=transforms),
        embedded.submit(
            "map", "a.zarr", "b.zarr", transform="fail_on", params={"values": "3", "fixed": "/nowhere"}
        ) as job,
    ):
        assert job.wait(60).dead == 1
        job.cancel()
        with pytest.raises(ConfigError, match="was cancelled: resume it"):
            jobs.replay(broker, embedded.topics, open_letters(broker, embedded.topics))
        assert len(open_letters(broker, embedded.topics)) == 1


@pytest.mark.parametrize("beginning", ["", "0"])
def test_an_id_that_names_no_one_job_drops_and_forgets_nothing(embedded, beginning):
    source(embedded)
    with embedded.fleet():
        ids = [embedded.run("map", "a.zarr", f"{n}.zarr", transform="nope").job for n in range(2)]
    where = ["--broker", embedded.broker, "--prefix", embedded.prefix]
    with embedded.open() as broker:
        for command in ("drop", "replay"):
            result = CliRunner().invoke(cli, ["dlq", command, "--job", beginning, *where])
            assert (result.exit_code, "id" in result.stderr) == (2, True)
        assert len(open_letters(broker, embedded.topics)) == 40
        jobs.forget(ids[0], broker=broker, prefix=embedded.prefix)
        if not beginning:  # one job begins so: the only one there is
            with pytest.raises(ConfigError, match="job is ''"):
                jobs.forget(beginning, broker=broker, prefix=embedded.prefix)
        result = CliRunner().invoke(cli, ["dlq", "drop", "--job", ids[1][:20].lower(), *where])
        assert result.stdout == "dropped 20 dead letters\n"
