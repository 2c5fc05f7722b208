"""Every command: its help, its mistakes, and its JSON."""

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

import streamzarr as sz
from streamzarr.cli.main import cli
from streamzarr.errors import StreamzarrError
from streamzarr.queue import NewRecord, open_broker


def run(*arguments, **options):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], **options)


def commands(group=cli, path=()):
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


COMMANDS = dict(commands())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("STREAMZARR_BROKER", "STREAMZARR_PREFIX", "STREAMZARR_ROOTS", "STREAMZARR_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_says_what_a_command_does_and_how_to_call_it(path):
    result = run(*path, "--help")
    assert result.exit_code == 0
    assert COMMANDS[path].help.strip().splitlines()[0] in " ".join(result.output.split())
    if not isinstance(COMMANDS[path], click.Group):
        assert "Examples:\n    streamzarr " + " ".join(path) in result.output


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_examples_in_help_parse(path, tmp_path, monkeypatch):
    """An example with an option that the command does not have would be a lie."""
    monkeypatch.chdir(tmp_path)
    for line in (COMMANDS[path].epilog or "").splitlines()[2:]:
        words = line.partition("|")[0].split()
        for file in words[1:]:
            if re.fullmatch(r"\w+(\.\w+)+", file):  # so that one that has to be there is
                Path(file).touch()
        assert words[0] == "streamzarr"
        assert tuple(words[1 : 1 + len(path)]) == path
        COMMANDS[path].make_context(path[-1], words[1 + len(path) :])


def assert_one_sentence(result, code=2):
    assert result.exit_code == code, result.output
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.startswith("streamzarr: ")
    assert "Traceback" not in result.output
    return result.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["frobnicate"], "no such command 'frobnicate'"),
        (["--frobnicate"], "no such option"),
        (["info"], "missing argument 'URL'; see `streamzarr info --help`"),
        (["info", "missing.zarr"], "missing.zarr"),
        (["info", "ftp://host/a.zarr"], "unknown scheme 'ftp'"),
        (["tree", "missing.zarr"], "missing.zarr"),
        (["tree", "a.zarr"], "a.zarr is an array, expected a group"),
        (["job", "submit", "copy", "a.zarr"], "missing argument 'TARGET'"),
        (["job", "submit", "copy", "missing.zarr", "b.zarr"], "missing.zarr"),
        (["job", "submit", "copy", "a.zarr", "a.zarr"], "are the same place, or one lies in the other"),
        (["job", "submit", "copy", "a.zarr", "./x/../a.zarr", "--overwrite"], "are the same place"),
        (["job", "submit", "downsample", "a.zarr", ".", "--overwrite"], "one lies in the other"),
        (["job", "submit", "copy", "a.zarr", "in.zarr/x"], "lies in the array"),
        (["job", "submit", "copy", "a.zarr", "queue.db", "--broker", "sqlite:///queue.db"], "of the queue"),
        (["job", "submit", "copy", "a.zarr", ""], "target is '', expected text"),
        (["job", "submit", "copy", "", "b.zarr"], "source is '', expected text"),
        (["job", "submit", "copy", "memory://a", "b.zarr"], "which only this process can see"),
        (["job", "submit", "copy", "a.zarr", "b.zarr", "--max-lag", "0"], "0 is not in the range"),
        (["job", "submit", "copy", "a.zarr", "b.zarr", "--missing", "fil"], "'fil' is not one of"),
        (["job", "submit", "copy", "a.zarr", "b.zarr", "--max-task-bytes", "0"], "it is 0, expected"),
        (["job", "submit", "copy", "a.zarr", "b.zarr", "--scratch", "a.zarr/x"], "lies in, the source"),
        (["job", "submit", "copy", "a.zarr", "b.zarr", "--scratch", ""], "scratch is ''"),
        (["job", "submit", "copy", "a.zarr", "b.zarr", "--prefix", ""], "prefix is ''"),
        (["job", "submit", "downsample", "a.zarr", "b.zarr", "--levels", "65"], "levels is 65"),
        (["job", "submit", "map", "a.zarr", "b.zarr", "--transform", ""], "transform is ''"),
        (["job", "submit", "copy", "a.zarr", "b.zarr", "--broker", "amqp://x"], "unknown scheme 'amqp'"),
        (["job", "submit", "copy", "a.zarr", "b.zarr", "--chunks", "4,x"], "positive integers"),
        (["job", "submit", "copy", "a.zarr", "b.zarr", "--chunks", "0"], "positive integers"),
        (["job", "submit", "copy", "a.zarr", "b.zarr", "--chunks", "2,2"], "chunks"),
        (["job", "submit", "copy", "a.zarr", "b.zarr", "--dtype", "float99"], "expected a numpy dtype"),
        (["job", "submit", "copy", "a.zarr", "b.zarr", "--compressor", "{"], "not JSON"),
        (["job", "submit", "copy", "a.zarr", "b.zarr", "--casting", "loose"], "same_kind"),
        (
            ["job", "submit", "copy", "a.zarr", "b.zarr", "--dtype", "b1", "--casting", "safe"],
            "do not become bool",
        ),
        (["job", "submit", "downsample", "a.zarr", "b.zarr", "--nodata", "x"], "expected a number"),
        (["job", "submit", "downsample", "a.zarr", "b.zarr", "--nodata", "0.5"], "nodata: 0.5 is no"),
        (["job", "submit", "copy", "a.zarr", "b.zarr", "--compressor", "middle-out"], "middle-out"),
        (["job", "submit", "copy", "a.zarr", "b.zarr", "--zarr-format", "4"], "'4' is not one of"),
        (["job", "submit", "map", "a.zarr", "b.zarr"], "missing option '--transform'"),
        (
            ["job", "submit", "map", "a.zarr", "b.zarr", "--transform", "t", "--param", "x"],
            "expected name=value",
        ),
        (
            ["job", "submit", "map", "a.zarr", "b.zarr", "--transform", "t", "--param", 'x={"a":1}'],
            "'x' is of type dict",
        ),
        (
            ["job", "submit", "map", "a.zarr", "b.zarr", "--transform", "t", *["--param", "x=1"] * 2],
            "--param x is given 2 times",
        ),
        (["job", "submit", "downsample", "a.zarr", "b.zarr", "--factor", "2,2"], "factor"),
        (["job", "submit", "downsample", "a.zarr", "b.zarr", "--levels", "0"], "0 is not in the range"),
        (["job", "plan", "copy", "a.zarr"], "missing argument 'TARGET'"),
        (["job", "plan", "copy", "missing.zarr", "b.zarr"], "missing.zarr"),
        (["job", "plan", "copy", "a.zarr", "a.zarr"], "are the same place, or one lies in the other"),
        (
            ["job", "plan", "copy", "a.zarr", "b.zarr", "--max-task-bytes", "much"],
            "'much' is not a number of bytes",
        ),
        (["job", "plan", "copy", "a.zarr", "b.zarr", "--threads", "0"], "0 is not in the range"),
        (["job", "status"], "streamzarr.db does not exist"),
        (["job", "resume", "01ABC"], "streamzarr.db does not exist"),
        (["job", "resume", "01ABC", "--broker", "sqlite:///queue.db"], "no job with id '01ABC'"),
        (["job", "wait", "01ABC", "--broker", "sqlite:///queue.db"], "no job with id '01ABC'"),
        (["job", "cancel", "01ABC", "--broker", "sqlite:///queue.db"], "no job with id '01ABC'"),
        (["job", "forget", "01ABC", "--broker", "sqlite:///queue.db"], "no job with id '01ABC'"),
        (["job", "forget", "--broker", "sqlite:///queue.db"], "say which: JOB, --finished or --older-than"),
        (["job", "forget", "--older-than", "soon"], "expected a number with s, min, h or d behind it"),
        (["dlq", "ls"], "streamzarr.db does not exist"),
        (["dlq", "ls", "--broker", "sqlite:///queue.db"], "streamzarr.tasks.dead"),
        (["dlq", "replay", "--broker", "sqlite:///queue.db"], "say which"),
        (["dlq", "replay", "1", "--all", "--broker", "sqlite:///queue.db"], "say which"),
        (["broker", "topics"], "streamzarr.db does not exist"),
        (["broker", "topics", "--broker", "sqlite:///a.zarr/zarr.json"], "zarr.json"),
        (["worker", "--processes", "0"], "0 is not in the range"),
        (["worker", "--max-demand", "0"], "0 is not in the range"),
        (["worker", "--session-timeout", "-1"], "it is -1.0, expected a finite number, more than 0"),
        (["worker", "--drain", "nan"], "it is nan, expected a finite number, 0 or more"),
        (["worker", "--drain", "soon"], "got 'soon', expected a number"),
        (["worker", "--max-restarts", "-1"], "-1 is not in the range"),
        (["worker", "--prefix", ""], "prefix is '', expected text"),
        (["worker", "--transforms", "./one"], "'./one' is no module's name, expected one as in `import one`"),
        (["worker", "--transforms", "one.py"], "'one.py' is no module's name"),
        (["worker", "--transforms", ""], "an entry of transforms is '', expected text"),
        (["worker", "--transforms", "leaves"], "'leaves' cannot be imported: SystemExit: 7"),
        (["worker", "--transforms", "no_such_module"], "no_such_module"),
        (["demo", "--size", "0"], "0 is not in the range"),
        (["demo", "--output", "."], "which is not the demo's"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_sentence_and_exit_code_2(folder, arguments, says):
    sz.create_array("a.zarr", data=np.arange(8), chunks=(4,))
    sz.create_array("in.zarr", data=np.arange(8), chunks=(4,))
    (folder / "leaves.py").write_text("import sys; sys.exit(7)")
    open_broker("sqlite:///queue.db").close()
    assert says in assert_one_sentence(run(*arguments))


def test_help_is_shown_when_nothing_is_asked_for():
    assert "Commands:" in run().output
    assert "Commands:" in run("job").output


def test_nothing_is_made_by_looking(folder):
    for command in (["job", "status"], ["dlq", "ls"], ["broker", "topics"], ["broker", "lag"]):
        assert_one_sentence(run(*command))
    assert list(folder.iterdir()) == []


def test_debug_shows_the_traceback_too(folder):
    result = run("--debug", "info", "missing.zarr")
    assert result.exit_code == 2
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("streamzarr: ")


class UnspeakableError(BaseException):
    def __str__(self):
        raise self


@pytest.mark.parametrize("error", [UnspeakableError, asyncio.CancelledError, SystemError, GeneratorExit])
def test_any_error_whatever_is_one_sentence(folder, monkeypatch, error):
    def broken(*_):
        raise error

    monkeypatch.setattr("streamzarr.zarr.open", broken)
    assert error.__name__ in assert_one_sentence(run("info", "a.zarr"))
    assert run("--debug", "info", "a.zarr").exit_code == 2


def test_a_mistake_of_ours_is_one_sentence_that_says_so(folder, monkeypatch):
    def broken(*_):
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("streamzarr.zarr.open", broken)
    sentence = assert_one_sentence(run("info", "a.zarr"))
    assert "RuntimeError: two lines" in sentence
    assert "a mistake in streamzarr" in sentence


def test_a_message_of_several_lines_is_joined(folder, monkeypatch):
    def broken(*_):
        raise StreamzarrError("one\n   two")

    monkeypatch.setattr("streamzarr.zarr.open", broken)
    assert assert_one_sentence(run("info", "a.zarr")) == "streamzarr: one two\n"


def test_info_of_an_array(folder):
    data = np.arange(40, dtype="f4").reshape(8, 5)
    attributes = {"units": "kelvin"}
    sz.create_array(
        "a.zarr", data=data, chunks=(4, 5), compressors="blosc", zarr_format=2, attributes=attributes
    )
    facts = json.loads(run("info", "--count", "--json", "a.zarr").stdout)
    assert facts["shape"] == [8, 5]
    assert facts["dtype"] == "float32"
    assert facts["compressor"]["id"] == "blosc"
    assert (facts["number_of_chunks"], facts["chunks_stored"], facts["nbytes"]) == (2, 2, 160)
    assert facts["attributes"] == attributes
    shown = run("info", "a.zarr").stdout
    assert "(8, 5)" in shown
    assert "blosc(cname=" in shown
    assert "@units  kelvin" in shown


@pytest.mark.parametrize("fill", [np.nan, np.inf])
def test_info_of_an_array_whose_fill_value_json_does_not_have(folder, fill):
    sz.create_array("a.zarr", shape=(2,), dtype="f4", fill_value=fill)
    text = run("info", "--json", "a.zarr").stdout
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_tree_and_info_of_a_group(folder):
    group = sz.create_group("run.zarr", attributes={"run": 7})
    group.create_array("air/temperature", shape=(4, 4), dtype="f4")
    assert "temperature (4, 4) float32" in run("tree", "run.zarr").stdout
    assert "temperature" not in run("tree", "--level", "1", "run.zarr").stdout
    members = json.loads(run("tree", "--json", "run.zarr").stdout)
    assert members["air"]["type"] == "group"
    assert members["air/temperature"]["shape"] == [4, 4]
    assert json.loads(run("info", "--json", "run.zarr").stdout)["groups"] == ["air"]


def test_what_a_topic_holds_cannot_drive_the_terminal(folder):
    sz.create_array("a.zarr", shape=(2,), dtype="f4", attributes={"evil": "\x1b[2J\x07"})
    assert "\x1b" not in run("info", "a.zarr").stdout
    assert "\x1b" not in run("info", "\x1b[2J.zarr").stderr


def test_a_plan_as_a_table_and_as_json(folder):
    sz.create_array("maps.zarr", shape=(128, 512, 1024), chunks=(1, 512, 1024), dtype="f4")
    command = ("job", "plan", "copy", "maps.zarr", "series.zarr", "--chunks", "128,32,64")
    names, first, second, total = run(*command, "--max-task-bytes", "64MiB").stdout.splitlines()
    assert names.split() == ["stage", "chunks", "block", "tasks", "read", "times", "written", "a", "task"]
    assert first.startswith("1 copy to scratch  ")
    assert second.split()[:3] == ["2", "copy", "128,32,64"]
    assert "536.9 MB read, 536.9 MB written; a worker process takes up to" in total
    planned = json.loads(run(*command, "--max-task-bytes", "1GiB", "--json").stdout)
    [stage] = planned["stages"]
    assert (stage["decoded"], stage["reads"], stage["writes"], planned["tasks"]) == (1.0, 128, 256, 1)
    assert stage["target"].endswith("/series.zarr")
    assert planned["worker_bytes"] > stage["task_bytes"] > 128 * 512 * 1024 * 4
    assert [path.name for path in folder.iterdir()] == ["maps.zarr"]


def test_a_plan_of_a_pyramid_and_of_a_transform(folder):
    sz.create_array("a.zarr", data=np.zeros((8, 8), "f4"), chunks=(4, 4))
    pyramid = json.loads(
        run("job", "plan", "downsample", "a.zarr", "b.zarr", "--levels", "3", "--json").stdout
    )
    assert [stage["operation"] for stage in pyramid["stages"]] == ["copy", "downsample", "downsample"]
    mapped = run("job", "plan", "map", "a.zarr", "b.zarr", "--transform", "theirs", "--param", "x=1").stdout
    assert mapped.splitlines()[1].startswith("1 map")


@pytest.fixture
def queue(folder):
    with open_broker("sqlite:///queue.db") as broker:
        broker.create_topic("ticks", partitions=2)
        with broker.producer() as producer:
            producer.send("ticks", [NewRecord(b"%d" % i, partition=i % 2) for i in range(5)])
        with broker.consumer(["ticks"], group="bars") as consumer:
            records = []
            while len(records) < 5:
                records += consumer.poll(10, timeout=5.0)
            consumer.commit(dict.fromkeys(consumer.assignment(), 1))
    return "sqlite:///queue.db"


def test_topics_groups_and_lag(queue):
    topics = json.loads(run("broker", "topics", "--broker", queue, "--json").stdout)
    assert topics == [{"topic": "ticks", "partitions": 2, "records": 5, "first": 0, "next": 5}]
    groups = json.loads(run("broker", "groups", "--broker", queue, "--json").stdout)
    assert groups == [{"group": "bars", "members": 0, "topics": "ticks", "lag": 3}]
    lag = json.loads(run("broker", "lag", "--broker", queue, "--group", "bars", "--json").stdout)
    assert [(row["partition"], row["committed"], row["end"], row["lag"]) for row in lag] == [
        (0, 1, 3, 2),
        (1, 1, 2, 1),
    ]
    assert "no groups" in run("broker", "lag", "--broker", queue, "--group", "other").stdout
    for what in ("topics", "groups", "lag"):
        assert "ticks" in run("broker", what, "--broker", queue).stdout


def test_the_broker_is_taken_from_the_environment(queue):
    result = run("broker", "topics", "--json", env={"STREAMZARR_BROKER": queue})
    assert json.loads(result.stdout)[0]["topic"] == "ticks"


def test_answers_to_help_load_no_heavy_package():
    code = (
        "import sys; from streamzarr.cli.main import cli; "
        "print(sorted({'numpy', 'rich', 'reactivex', 'msgspec', 'sqlite3', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_info_shows_rectilinear_chunks(folder):
    sz.create_array("a.zarr", shape=(10, 12), dtype="i4", chunks=[[3, 4, 3], 5])
    sz.create_array("b.zarr", shape=(10,), dtype="i4", chunks=(2,), shards=[[4, 6]])
    assert "chunks            ([3, 4, 3], 5)\n" in run("info", "a.zarr").output
    facts = json.loads(run("info", "b.zarr", "--json").output)
    assert (facts["chunks"], facts["shards"], facts["number_of_chunks"]) == ([2], [[4, 6]], 5)
