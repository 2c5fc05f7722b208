"""Bad input: a clear error that says what, where and what was expected; the rest of the job finishes."""

import os

import numpy as np
import pytest

import streamzarr as sz
from streamzarr import jobs
from streamzarr.errors import ConfigError, NodeExistsError, NodeNotFoundError, QueueError
from streamzarr.queue.base import NewRecord
from streamzarr.queue.letters import DeadLetterQueue


def source(bench, n=8, **options):
    """An array of `n` chunks of 64 values, the first value of chunk i is i."""
    data = np.repeat(np.arange(n, dtype="i4"), 64)
    options.setdefault("compressors", None)
    return sz.create_array(bench.url("a.zarr"), data=data, chunks=(64,), fill_value=-1, **options)


def letters(bench):
    with bench.open() as broker:
        return [letter for _, letter in DeadLetterQueue(broker, bench.topics.dead).ls()]


def test_three_failing_chunks_of_a_thousand_are_dead_letters_until_replayed(bench, transforms):
    data = np.repeat(np.arange(1000, dtype="i4"), 16)
    sz.create_array(bench.url("a.zarr"), data=data, chunks=(16,), fill_value=-1)
    params = {"values": "17,500,999", "fixed": bench.url("fixed")}
    with (
        bench.fleet(transforms=transforms),
        bench.submit("map", "a.zarr", "b.zarr", transform="fail_on", params=params) as job,
    ):
        report = job.wait(120)
        assert (report.written, report.dead, report.state) == (997, 3, "incomplete")
        dead = letters(bench)
        assert {letter.error_class for letter in dead} == {"ValueError"}
        assert sorted(letter.message for letter in dead) == sorted(
            f"cannot take the value {v}" for v in (17, 500, 999)
        )
        assert {(letter.stage, letter.attempts, letter.topic) for letter in dead} == {
            ("execute", 1, bench.topics.tasks)
        }
        assert all(letter.offset >= 0 and letter.worker and letter.first_seen > 0 for letter in dead)
        (bench.folder / "fixed").touch()
        with bench.open() as broker:
            queue = DeadLetterQueue(broker, bench.topics.dead)
            assert jobs.replay(broker, bench.topics, queue.ls()) == 3
            assert queue.ls() == []
        with jobs.open_job(job.id, broker=bench.broker, prefix=bench.prefix) as watched:
            assert watched.wait(60).state == "done"
    np.testing.assert_array_equal(sz.open_array(bench.url("b.zarr"))[...], data + 1)


def test_an_unknown_transform(embedded):
    source(embedded)
    report = embedded.run("map", "a.zarr", "b.zarr", transform="os.system")
    assert (report.written, report.dead) == (0, 8)
    assert letters(embedded)[0].error_class == "TransformError"
    assert "unknown transform 'os.system'" in letters(embedded)[0].message


def test_a_transform_that_returns_another_shape(embedded, transforms):
    source(embedded)
    report = embedded.run(
        "map", "a.zarr", "b.zarr", transform="wrong_shape", fleet={"transforms": transforms}
    )
    assert report.dead == 8
    assert "returned shape (1,), expected (64,)" in letters(embedded)[0].message


def test_a_store_outside_the_roots(embedded, tmp_path_factory):
    source(embedded)
    elsewhere = str(tmp_path_factory.mktemp("elsewhere"))
    report = embedded.run("copy", "a.zarr", "b.zarr", fleet={"roots": [elsewhere]})
    assert report.dead == 8
    message = letters(embedded)[0].message
    assert "outside the roots" in message
    assert elsewhere in message


def test_a_symbolic_link_does_not_lead_out_of_the_roots(embedded, tmp_path_factory):
    source(embedded)
    inside = tmp_path_factory.mktemp("inside")
    (inside / "link").symlink_to(embedded.folder)
    with (
        embedded.fleet(roots=[str(inside)]),
        jobs.submit(
            "copy",
            str(inside / "link" / "a.zarr"),
            str(inside / "b.zarr"),
            broker=embedded.broker,
            prefix=embedded.prefix,
        ) as job,
    ):
        assert job.wait(60).dead == 8


@pytest.mark.parametrize("value", [b"not a task", None, b'{"v":1}', b"[" * 10_000])
def test_a_malformed_task_is_a_dead_letter_and_the_job_finishes(bench, value):
    source(bench)
    with bench.open() as broker, broker.producer() as producer:
        bench.topics.ensure(broker)
        producer.send(bench.topics.tasks, [NewRecord(value, key=b"k", headers=(("h", b"1"),))])
        producer.flush()
    report = bench.run("copy", "a.zarr", "b.zarr")
    assert report.complete
    [letter] = letters(bench)
    assert (letter.value, letter.key, letter.headers) == (value, b"k", (("h", b"1"),))
    assert (letter.error_class, letter.stage) == ("MessageError", "decode")


def corrupt(bench, how):
    path = bench.folder / "a.zarr" / "c" / "3"
    data = bytearray(path.read_bytes())
    path.write_bytes(how(data))


@pytest.mark.parametrize(
    ("how", "options", "error"),
    [
        pytest.param(lambda d: d[: len(d) // 2], {"compressors": "zstd"}, "CodecError", id="truncated"),
        pytest.param(
            lambda d: d[:40] + bytes([d[40] ^ 1]) + d[41:],
            {"compressors": "crc32c"},
            "ChecksumError",
            id="bit",
        ),
        pytest.param(lambda d: d + b"\0\0\0\0", {}, "CodecError", id="too-long"),
        pytest.param(lambda d: b"", {}, "CodecError", id="empty"),
    ],
)
def test_a_corrupt_source_chunk_is_named_and_the_rest_is_written(embedded, how, options, error):
    source(embedded, **options)
    corrupt(embedded, how)
    report = embedded.run("copy", "a.zarr", "b.zarr", compressors="gzip")
    assert (report.written, report.dead) == (7, 1)
    [letter] = letters(embedded)
    assert letter.error_class == error
    assert "a.zarr" in letter.message
    assert "3" in letter.message
    result = sz.open_array(embedded.url("b.zarr"))
    assert (result[:192] == np.repeat([0, 1, 2], 64)).all()


def test_a_missing_source_chunk_can_be_an_error(embedded):
    source(embedded)
    (embedded.folder / "a.zarr" / "c" / "5").unlink()
    report = embedded.run("copy", "a.zarr", "b.zarr", compressors="gzip", missing="error")
    assert (report.written, report.dead) == (7, 1)
    assert "c/5" in letters(embedded)[0].message


def test_a_source_that_disappears(embedded):
    source(embedded)
    with embedded.submit("copy", "a.zarr", "b.zarr") as job:
        os.rename(embedded.url("a.zarr"), embedded.url("gone.zarr"))
        with embedded.fleet():
            assert job.wait(60).dead == 8
    assert {letter.error_class for letter in letters(embedded)} == {"SourceChangedError"}


def test_a_target_made_anew_with_another_layout_is_left_alone(embedded):
    source(embedded)
    with embedded.submit("copy", "a.zarr", "b.zarr") as job:
        sz.create_array(embedded.url("b.zarr"), shape=(512,), chunks=(32,), dtype="i4", overwrite=True)
        with embedded.fleet():
            assert job.wait(60).dead == 8
    assert "another layout" in letters(embedded)[0].message


def test_a_transform_that_kills_its_process_is_isolated(bench, transforms):
    source(bench, n=20)
    report = bench.run(
        "map",
        "a.zarr",
        "b.zarr",
        transform="deadly",
        params={"value": 13},
        fleet={"transforms": transforms, "max_crashes": 2, "session_timeout": 6.0},
    )
    assert (report.written, report.dead) == (19, 1)
    [letter] = letters(bench)
    assert letter.error_class == "WorkerCrashError"


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"kind": "sort"}, ConfigError, "kind is 'sort', expected copy, map or downsample"),
        ({"kind": "map"}, ConfigError, "needs transform="),
        ({"transform": "x"}, ConfigError, "takes no transform"),
        ({"kind": "downsample", "factor": 0}, ConfigError, "factor"),
        ({"kind": "downsample", "factor": (2, 2)}, ConfigError, "1 axes"),
        ({"kind": "downsample", "method": "median"}, ConfigError, "median"),
        ({"kind": "downsample", "levels": 0}, ConfigError, "levels"),
        ({"chunks": (8, 8)}, ConfigError, "chunks"),
        ({"source": "none.zarr"}, NodeNotFoundError, "none.zarr"),
        ({"target": "a.zarr"}, ConfigError, "the same place"),
        ({"target": "there.zarr"}, NodeExistsError, "there.zarr"),
    ],
)
def test_a_submission_that_cannot_work_is_refused_at_once(embedded, options, error, says):
    source(embedded)
    sz.create_array(embedded.url("there.zarr"), data=np.arange(3))
    arguments = {"kind": "copy", "source": "a.zarr", "target": "b.zarr", **options}
    with pytest.raises(error, match=says):
        embedded.submit(**arguments)


def test_a_broker_that_cannot_be_reached(embedded):
    source(embedded)
    with pytest.raises(QueueError, match=r"127\.0\.0\.1:1"):
        jobs.submit(
            "copy",
            embedded.url("a.zarr"),
            embedded.url("b.zarr"),
            broker="kafka://127.0.0.1:1?request_timeout=2",
        )


def test_a_job_that_does_not_exist(embedded):
    with pytest.raises(ConfigError, match="no job"):
        jobs.open_job("01NOPE", broker=embedded.broker, prefix=embedded.prefix)
