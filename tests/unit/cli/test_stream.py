"""``streamzarr stream``: what is there, and what comes."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

import streamzarr as sz
from streamzarr.cli.main import cli
from streamzarr.stream import Field

SCHEMA = {
    "time": Field("M8[s]", sorted=True, chunk_rows=4),
    "price": "f4",
    "name": "string",
    "frame": Field("u1", shape=(2,)),
    "mark": Field(np.dtype([("a", "i2"), ("b", "?")])),
    "z": "c8",
    "raw": "bytes",
}


def batch(start, stop):
    count = stop - start
    return {
        "time": np.datetime64("2026-01-05", "s") + np.arange(start, stop),
        "price": np.where(np.arange(start, stop) % 2, np.nan, 0.5).astype("f4"),
        "name": ["\x1b[2J"] * count,
        "frame": np.full((count, 2), 7, "u1"),
        "mark": np.array([(1, True)] * count, [("a", "i2"), ("b", "?")]),
        "z": np.full(count, 1j, "c8"),
        "raw": [b"a\xff"] * count,
    }


def run(*arguments):
    return CliRunner().invoke(cli, ["stream", *map(str, arguments)])


@pytest.fixture
def url(tmp_path):
    url = tmp_path / "lab.zarr"
    with sz.StreamWriter(url, schema=SCHEMA, source={"topic": "ticks"}) as writer:
        writer.append(batch(0, 12), next_offset={"ticks/0": 30})
    return url


@pytest.mark.parametrize(
    "command", [["info"], ["tail"], ["check"], ["repair"], ["retain", "--rows", "1"], ["compact"]], ids=str
)
@pytest.mark.parametrize("group", ["", "ticks/"])
def test_a_group_of_streams_names_them(tmp_path, command, group):
    for number in range(7):
        with sz.StreamWriter(tmp_path / "fx.zarr", f"{group}p{number:05}", schema={"bid": "f8"}) as writer:
            writer.append({"bid": [1.0]})
    done = run(*command, tmp_path / "fx.zarr")
    assert done.exit_code == 2
    assert f"7 below it: {group}p00000, {group}p00001," in done.stderr, done.stderr
    assert f"fx.zarr/{group}p00000" in done.stderr
    done = run(*command, tmp_path / "none.zarr")
    assert done.exit_code == 2
    assert "below" not in done.stderr


def test_info_says_what_is_there(url):
    facts = json.loads(run("info", "--json", url).stdout)
    assert (facts["rows"], facts["first_row"], facts["seq"], facts["epoch"]) == (12, 0, 1, 1)
    assert (facts["position"], facts["source"]) == ({"ticks/0": 30}, {"topic": "ticks"})
    assert facts["fields"]["time"] == {
        "dtype": "datetime64[s]",
        "shape": [],
        "chunk_rows": 4,
        "sorted": True,
        "since": 0,
    }
    shown = run("info", url).stdout
    assert "ticks/0: 30" in shown
    assert "time  datetime64[s], 4 rows in a chunk, sorted" in shown
    assert "frame  (2,) uint8" in shown


def test_tail_prints_the_last_rows(url):
    lines = run("tail", "-n", 2, url).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["10", "11"]
    assert "time=2026-01-05T00:00:11  price=nan" in lines[1]
    assert "frame=(2,) uint8" in lines[1]
    assert "\x1b" not in lines[1]
    assert len(run("tail", url).stdout.splitlines()) == 10
    assert run("tail", "-n", 0, url).stdout == ""
    assert len(run("tail", "-n", 99, url).stdout.splitlines()) == 12


def test_tail_prints_json_a_line(url):
    lines = [json.loads(line) for line in run("tail", "--json", "-n", 2, url).stdout.splitlines()]
    assert lines[1] == {
        "row": 11,
        "time": "2026-01-05T00:00:11",
        "price": "NaN",
        "name": "\x1b[2J",
        "frame": [7, 7],
        "mark": {"a": 1, "b": True},
        "z": "1j",
        "raw": "a\\xff",
    }
    some = run("tail", "--json", "-n", 1, "--field", "time", "--field", "price", url).stdout
    assert [*json.loads(some)] == ["row", "time", "price"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["info", "missing.zarr"], "no stream at"),
        (["tail", "missing.zarr"], "no stream at"),
        (["tail", "--field", "x"], "no field 'x'"),
    ],
    ids=str,
)
def test_mistakes_are_one_sentence(url, arguments, says):
    result = run(*arguments, *([url] if len(arguments) == 3 else []))
    assert result.exit_code == 2
    assert result.stderr.startswith("streamzarr: ")
    assert result.stderr.count("\n") == 1
    assert says in result.stderr


@pytest.fixture
def interruptible():
    """Children mind SIGINT, also where whoever started the tests ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_tail_follows_until_it_is_interrupted(url, interruptible):
    command = [
        sys.executable,
        "-m",
        "streamzarr",
        "stream",
        "tail",
        "-n",
        "1",
        "--follow",
        "--json",
        str(url),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert json.loads(process.stdout.readline())["row"] == 11
        with sz.StreamWriter(url) as writer:
            writer.append(batch(12, 14), next_offset={"ticks/0": 32})
        assert [json.loads(process.stdout.readline())["row"] for _ in range(2)] == [12, 13]
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def test_check_and_repair_say_what_is_found_and_done(url):
    result = run("check", url)
    assert result.exit_code == 0
    assert "rows 0 to 12, 0 findings" in result.stdout
    (url / "price" / "zarr.json").write_bytes(b"{}")
    (url / "time" / "c" / "9").write_bytes(b"?")
    result = run("check", url)
    assert result.exit_code == 1
    assert "! wrong document: the document of 'price' " in result.stdout
    assert "    repair: writes it as the root has it" in result.stdout
    assert "    repair: nothing" in result.stdout
    facts = json.loads(run("repair", "--json", url).stdout)
    assert (facts["rows"], facts["sound"], len(facts["findings"])) == (12, False, 2)
    assert {each["kind"] for each in facts["findings"]} == {"child", "behind"}
    assert run("check", url).exit_code == 0
    (url / "time" / "c" / "1").unlink()
    for command in ("check", "repair"):
        result = run(command, url)
        assert result.exit_code == 1
        assert "missing chunk: rows 4 to 8 of 'time'" in result.stdout


@pytest.mark.parametrize(
    ("wanted", "first_row"),
    [
        (["--since", "time=2026-01-05T00:00:09"], 8),
        (["--since", "time=2026"], 0),
        (["--rows", 3], 8),
        (["--bytes", "1GB"], 0),
    ],
    ids=str,
)
def test_retain_gives_up_rows(tmp_path, wanted, first_row):
    with sz.StreamWriter(
        tmp_path, schema={"time": SCHEMA["time"], "n": Field("i4", sorted=True)}, chunk_rows=4
    ) as w:
        w.append({"time": batch(0, 12)["time"], "n": range(12)})
    done = json.loads(run("retain", *wanted, "--json", tmp_path).stdout)
    assert (done["before"], done["first_row"], done["chunks"]) == (0, first_row, first_row // 2)
    assert (
        f"first row {first_row}, was {first_row}; 0 chunks deleted" in run("retain", *wanted, tmp_path).stdout
    )
    assert json.loads(run("retain", "--since", "n=9", "--json", tmp_path).stdout)["first_row"] == 8


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["retain"], "expected exactly one of"),
        (["retain", "--rows", "1", "--bytes", "1"], "expected exactly one of"),
        (["retain", "--since", "time"], "expected FIELD=VALUE"),
        (["retain", "--since", "time=soon"], "is no time"),
        (["retain", "--since", "price=1"], "is not sorted"),
        (["retain", "--since", "x=1"], "no field 'x'"),
        (["retain", "--bytes", "many"], "not a number of bytes"),
    ],
    ids=str,
)
def test_mistakes_of_upkeep_are_one_sentence(url, arguments, says):
    result = run(*arguments, url)
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stderr.startswith("streamzarr: ")
    assert result.stderr.count("\n") == 1


def test_compact_gathers_chunks_in_shards(url):
    result = run("compact", "--chunks", 2, url)
    assert (result.exit_code, "1 shard written, 0 chunks deleted" in result.stdout) == (0, True)
    assert "  time  8 rows in shards" in result.stdout
    done = json.loads(run("compact", "--delete", "--json", url).stdout)
    assert (done["sealed"]["time"], done["shards"], done["chunks"]) == (8, 0, 2)
    assert len(run("tail", "-n", 99, url).stdout.splitlines()) == 12
    assert run("check", url).exit_code == 0


@pytest.mark.parametrize("command", ["check", "repair", "compact", "retain --rows 1"])
def test_upkeep_of_what_is_no_stream_is_a_mistake(tmp_path, command):
    result = run(*command.split(), tmp_path / "missing.zarr")
    assert (result.exit_code, "no stream at" in result.stderr) == (2, True)
