"""Feeds on the command line: real processes, and what they say."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from streamzarr.cli.main import cli
from streamzarr.runtime import SYSTEM
from tests.support.feeds import PATIENCE, FeedBench, until

FEED_WORKER = [sys.executable, str(Path(__file__).parents[3] / "workers" / "feed_worker.py")]
INGEST = [sys.executable, "-m", "streamzarr", "ingest"]

CONFIG = """\
[source]
broker = "{url}"
topics = ["{topic}"]

[decode]
format = "json"

[columns]
n = "i8"
bid = "f8"

[target]
url = "{target}"
commit = {{ seconds = 0.05 }}
"""


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def bench(request, tmp_path):
    url = f"sqlite:///{tmp_path}/queue.db"
    if request.param == "kafka":
        url = request.getfixturevalue("kafka_broker_url")
    return written(FeedBench(url, tmp_path))


@pytest.fixture
def local(tmp_path):
    return written(FeedBench(f"sqlite:///{tmp_path}/queue.db", tmp_path))


def written(bench):
    text = CONFIG.format(url=bench.url, topic=bench.topic, target=bench.target)
    (bench.folder / "fx.toml").write_text(text)
    return bench


IN_A_TERMINAL = (
    "import os, signal, sys; signal.signal(1, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
)
"""Whoever runs the tests may have had hangups ignored, which children inherit."""


def start(bench, *arguments, program=INGEST):
    return subprocess.Popen(
        [*program, str(bench.folder / "fx.toml"), *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def run(*arguments, code=0):
    done = CliRunner().invoke(cli, [*map(str, arguments)])
    assert done.exit_code == code, done.output
    return done.output if code else done.stdout


def ended(process, code=0):
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, said
    return said


def test_from_the_topic_to_the_check(bench):
    bench.ticks(300)
    bench.ticks(200, partition=1)
    bench.send(b"bad", partition=1)
    assert "workers ended: 2 drained" in ended(start(bench, "--processes", "2", "--until-end"))
    status = json.loads(run("feed", "status", "--json", bench.target))
    assert (status["rows"], status["lag"], status["dead"]) == (500, 0, 1)
    assert [each["rows"] for each in status["partitions"]] == [300, 200]
    assert "1 dead letter" in run("feed", "status", bench.target)
    assert "each of 500 records is there exactly once" in run("feed", "check", bench.target)
    assert "1 dead letter; 201 looked for up to offset 201" in run("feed", "check", bench.target)
    [first, second] = json.loads(run("feed", "check", "--json", bench.target, "--broker", bench.url))
    assert (first["ok"], second["records"], second["dead"]) == (True, 200, 1)


def test_a_service_commits_when_it_is_told_to_stop(bench):
    process = start(bench, program=FEED_WORKER)
    try:
        until(lambda: "ready: 1 worker" in process.stderr.readline(), "the worker")
        bench.ticks(100)
        until(lambda: bench.caught_up(bench.feed()), "the rows")
        process.send_signal(signal.SIGTERM)
        assert "workers ended: 1 drained; restarts 0; left in flight 0" in ended(process)
    finally:
        process.kill()
    assert bench.streams()["p00000"].rows == 100


def test_a_service_commits_when_its_terminal_is_closed(local):
    """The shell may pass on the signal once more, which shows no impatience."""
    process = start(local, program=[sys.executable, "-c", IN_A_TERMINAL, *INGEST])
    try:
        until(lambda: "ready: 1 worker" in process.stderr.readline(), "the worker")
        local.ticks(100)
        until(lambda: local.caught_up(local.feed()), "the rows")
        for _ in range(20):
            process.send_signal(signal.SIGHUP)
            SYSTEM.event().wait(0.02)
        assert "workers ended: 1 drained; restarts 0; left in flight 0" in ended(process)
    finally:
        process.kill()


def test_a_hangup_that_is_ignored_stays_so(local):
    process = start(local, program=["nohup", *INGEST])
    try:
        until(lambda: "ready: 1 worker" in process.stderr.readline(), "the worker")
        process.send_signal(signal.SIGHUP)
        local.ticks(100)
        until(lambda: local.caught_up(local.feed()), "the rows")
        process.send_signal(signal.SIGTERM)
        assert "1 drained" in ended(process)
    finally:
        process.kill()


def ends_by_itself(process, *words):
    """Tell of a feed that ends at once, for a reason that is said in one line, the last one."""
    *before, last = ended(process, code=2).splitlines()
    for word in words:
        assert word in last
    assert "Traceback" not in "".join(before)
    assert "restart" not in "".join(before)


def test_a_target_that_is_removed_ends_it_with_one_sentence(local):
    local.ticks(10)
    process = start(local)
    try:
        until(lambda: local.caught_up(local.feed()), "the rows")
        shutil.rmtree(local.target)
        local.ticks(10, start=10)
        began = time.monotonic()
        ends_by_itself(process, "the stream is gone", "started anew, the feed begins at the beginning")
        assert time.monotonic() - began < 8, "less than a session"
    finally:
        process.kill()


def test_a_topic_that_is_deleted_ends_it_with_one_sentence(bench):
    bench.ticks(10)
    process = start(bench)
    try:
        until(lambda: bench.caught_up(bench.feed()), "the rows")
        bench.broker.delete_topic(bench.topic)
        ends_by_itself(process, bench.topic)
    finally:
        process.kill()


def test_a_topic_made_anew_ends_it_with_one_sentence(local):
    local.ticks(10)
    ended(start(local, "--until-end"))
    local.broker.delete_topic(local.topic)
    local.broker.create_topic(local.topic, 2)
    said = run("ingest", local.folder / "fx.toml", code=2)
    assert "was made anew since its rows came" in said
    assert len(said.strip().splitlines()) == 1


def test_a_mistake_in_the_configuration_is_told_at_the_end(local):
    local.ticks(30)
    config, wrong = local.folder / "fx.toml", 'bid = { dtype = "f8", from = "bidd" }'
    config.write_text(config.read_text().replace('bid = "f8"', wrong))
    letters = f"`streamzarr dlq ls --topic {local.topic}.dead --broker {local.broker.url}`"
    said = ended(start(local, "--until-end"), code=3)
    assert f"left in flight 0; bad: 30 of 30 records, in {local.topic}.dead, see {letters}" in said
    assert f"; bad: 30, see {letters}" in said, "the worker says so, too"
    assert f"dead    30 dead letters in {local.topic}.dead" in run("feed", "status", local.target)
    assert json.loads(run("feed", "status", "--json", local.target))["dead_topics"] == [f"{local.topic}.dead"]
    config.write_text(config.read_text().replace(wrong, 'bid = "f8"'))
    local.ticks(30)
    local.send(b"bad")
    assert f"; bad: 1 of 31 records, in {local.topic}.dead, see {letters}" in ended(
        start(local, "--until-end")
    )
    assert "bad:" not in ended(start(local, "--until-end"))
    said = run("dlq", "ls", "--broker", local.url, code=2)
    assert "no jobs, so no dead letters of jobs (topic 'streamzarr.tasks.dead')" in said
    assert f"which --topic names; here are {local.topic}.dead" in said


def test_one_record_is_told_as_one(local):
    local.ticks(1)
    said = run("feed", "init", "--broker", local.url, "--topic", local.topic, "--target", "x.zarr")
    assert said.startswith("# Proposed from 1 record\n")
    ended(start(local, "--until-end"))
    assert "each of 1 record is there exactly once" in run("feed", "check", local.target)


def test_a_topic_made_anew_is_told_by_those_who_only_look(bench):
    bench.ticks(10)
    ended(start(bench, "--until-end"))
    bench.broker.delete_topic(bench.topic)
    bench.broker.create_topic(bench.topic, 2)
    for _ in range(2):  # shorter than it was, and longer
        said = run("feed", "check", bench.target, code=2)
        assert "p00000  10 rows; " in said
        assert f"topic '{bench.topic}'" in said
        assert "was made anew since its rows came" in said
        assert "p00000, p00001: the rows come from another topic than is there now" in said
        found = json.loads(run("feed", "status", "--json", bench.target))
        assert (found["rows"], found["lag"], found["waiting"]) == (10, 0, 0)
        assert [each["lag"] for each in found["partitions"]] == [None, None]
        assert all("was made anew" in each["remark"] for each in found["partitions"])
        said = run("feed", "status", bench.target)
        assert "lag     0 records, and nobody can say of 2 partitions, see below" in said
        assert "p00001  " in said
        bench.ticks(20)


def test_a_check_that_finds_something(local):
    local.ticks(10)
    ended(start(local, "--until-end"))
    stream = local.streams()["p00000"]
    from streamzarr.stream import StreamWriter

    with StreamWriter(local.target, "p00000") as writer:  # somebody else's rows
        writer.append({name: stream[name][-1:] for name in stream}, next_offset=stream.position)
        writer.append({"n": [1], "bid": [1.0], "offset": [50]}, next_offset=stream.position)
    said = run("feed", "check", local.target, code=2)
    assert "1 not on the broker: 50" in said
    assert "p00000: not each record is there once, in order" in said


def test_rows_as_they_are_committed(local):
    local.ticks(5)
    ended(start(local, "--until-end"))
    command = [sys.executable, "-m", "streamzarr", "feed", "follow", "--json", "-n", "2", local.target]
    follower = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": "1"},
    )
    try:
        found = [json.loads(follower.stdout.readline()) for _ in range(2)]
        assert [(each["partition"], each["row"], each["n"]) for each in found] == [
            ("p00000", 3, 3),
            ("p00000", 4, 4),
        ]
        local.ticks(1, start=5)
        ended(start(local, "--until-end"))
        assert json.loads(follower.stdout.readline())["n"] == 5
        follower.send_signal(signal.SIGINT)
        assert follower.wait(PATIENCE) == 0
    finally:
        follower.kill()
        follower.communicate()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["ingest", "nowhere.toml"], "nowhere.toml: cannot be read"),
        (["feed", "status", "nowhere.zarr"], "no feed's streams below"),
        (["feed", "follow", "nowhere.zarr"], "no feed's streams below"),
    ],
)
def test_what_is_not_there(tmp_path, monkeypatch, arguments, expected):
    monkeypatch.chdir(tmp_path)
    assert expected in run(*arguments, code=2)


def test_a_stream_that_no_feed_wrote(tmp_path):
    from streamzarr.stream import StreamWriter

    with StreamWriter(tmp_path / "lab.zarr", "p00000", schema={"x": "f8"}):
        pass
    assert "no feed wrote this stream" in run("feed", "check", tmp_path / "lab.zarr", code=2)
