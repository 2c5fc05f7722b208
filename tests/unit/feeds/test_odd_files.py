"""What ``produce`` is given by mistake: told in a sentence that names the file, and nothing is made up."""

import gzip
import json

import pytest
from click.testing import CliRunner

from streamzarr.cli.main import cli
from streamzarr.errors import ConfigError
from streamzarr.feeds.produce import read_file

ROWS = b"a,b\n1,2\n3,4\n"
PACKED = gzip.compress(ROWS, mtime=0)


def read(path, **options):
    return [value for piece in read_file(path, **options) for value in piece.values]


def test_a_mark_at_the_beginning_is_no_part_of_a_name(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf" + ROWS)
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"a":1}\n')
    assert read(tmp_path / "a.csv", key="a")[0] == b'{"a":1,"b":2}'
    assert read(tmp_path / "a.jsonl") == [b'{"a":1}']


def test_empty_lines_are_no_records(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"a,b\n\n1,2\n\n3,4\n\n")
    assert len(read(tmp_path / "a.csv")) == 2


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.csv", b"a,b,a\n1,2,3\n", "column 'a' is there twice"),
        ("a.csv.gz", PACKED[:-10], "damaged, 0 records were read"),
        ("a.csv.gz", PACKED[:14] + b"\xff" + PACKED[15:], "damaged, 0 records were read"),
        ("a.csv.gz", ROWS, "damaged, 0 records were read: Not a gzipped file"),
        ("a.jsonl", b'{"a": 1}\n{"a": "\xff"}\n', "damaged, 0 records were read"),
        ("a.jsonl", b"[" * 100_000 + b"\n", "line 1: maximum recursion depth"),
    ],
)
def test_a_file_that_is_damaged(tmp_path, name, data, reason):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=f"{name}: {reason}"):
        read(path)


def test_a_number_that_a_format_cannot_hold(tmp_path):
    (tmp_path / "a.csv").write_text(f"n\n1\n{2**70}\n")
    assert [json.loads(each)["n"] for each in read(tmp_path / "a.csv")] == [1, 2**70]
    with pytest.raises(ConfigError, match="record 1: msgpack cannot hold it"):
        read(tmp_path / "a.csv", format="msgpack")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--generate", "ticks", "--format", "csv"], "--format is for a file"),
        (["--generate", "ticks", "--key", "symbol"], "--key is for a file"),
        (["a.csv", "--rate", "5"], "--rate is for --generate"),
        (["a.csv", "--fast"], "--fast is for --generate"),
    ],
)
def test_an_option_that_has_no_meaning_is_refused(tmp_path, arguments, reason):
    broker = f"sqlite:///{tmp_path}/queue.db"
    found = CliRunner().invoke(cli, ["produce", *arguments, "--topic", "t", "--broker", broker])
    assert found.exit_code == 2
    assert reason in found.stderr
