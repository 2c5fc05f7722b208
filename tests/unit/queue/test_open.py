import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from streamzarr.errors import ConfigError, QueueError
from streamzarr.queue import NewRecord, open_broker


def test_relative_and_absolute_paths_name_the_same_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open_broker("sqlite:///q.db") as relative:
        relative.create_topic("t")
        assert relative.url == f"sqlite:///{tmp_path}/q.db"
    with open_broker(f"sqlite:///{tmp_path}/q.db") as absolute:
        assert absolute.topics() == ["t"]
    with open_broker(relative.url) as again:
        assert again.url == relative.url


@pytest.mark.parametrize("name", ["with space.db", "häß#?%.db", "semi;colon.db"])
def test_any_file_name_survives_its_url(tmp_path, name):
    from urllib.parse import quote

    with open_broker(f"sqlite:///{quote(str(tmp_path / name))}") as broker:
        broker.create_topic("t")
        assert (tmp_path / name).exists()
        with open_broker(broker.url) as again:
            assert again.topics() == ["t"]


def test_options_travel_with_the_url(tmp_path):
    with open_broker(f"sqlite:///{tmp_path}/q.db?max_record_bytes=100&busy_timeout=0.5") as broker:
        broker.create_topic("t")
    with open_broker(broker.url) as again, again.producer() as producer:
        assert again.url == broker.url
        with pytest.raises(QueueError, match="expected at most 100"):
            producer.send("t", [NewRecord(b"x" * 200)])


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("queue.db", "unknown scheme ''"),
        ("redis://x", "unknown scheme 'redis', expected sqlite:///path or kafka://host:port"),
        ("sqlite://queue.db", "expected sqlite:///relative.db"),
        ("sqlite:///", "expected sqlite:///relative.db"),
        ("sqlite:///:memory:", "expected sqlite:///relative.db"),
        ("sqlite:///no/such/folder/q.db", "the directory .*no/such/folder does not exist"),
        ("sqlite:///.", "is a directory"),
        ("sqlite:///q.db?cache=shared", "unknown option 'cache', expected max_record_bytes or busy_timeout"),
        ("sqlite:///q.db?busy_timeout=soon", "busy_timeout='soon', expected a number above 0"),
        ("sqlite:///q.db?max_record_bytes=-1", "max_record_bytes='-1', expected a number above 0"),
    ],
)
def test_what_cannot_be_opened_says_why_in_one_sentence(tmp_path, monkeypatch, url, says):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=says) as caught:
        open_broker(url)
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_kafka_without_its_client_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(ConfigError, match=r"pip install 'streamzarr\[kafka\]'"):
        open_broker("kafka://localhost:9092")


def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("not a database at all, but long enough to be read as a header of one" * 20)
    foreign = tmp_path / "foreign.db"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    before = {path: path.read_bytes() for path in (text, foreign)}
    with pytest.raises(ConfigError, match=r"notes\.txt: not a streamzarr queue"):
        open_broker(f"sqlite:///{text}")
    with pytest.raises(ConfigError, match=r"foreign\.db: an SQLite database of something else"):
        open_broker(f"sqlite:///{foreign}")
    assert {path: path.read_bytes() for path in before} == before
    assert set(os.listdir(tmp_path)) == {"notes.txt", "foreign.db"}


def test_a_later_format_is_refused(tmp_path):
    open_broker(f"sqlite:///{tmp_path}/q.db").close()
    with sqlite3.connect(tmp_path / "q.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ConfigError, match="format 99, expected 1"):
        open_broker(f"sqlite:///{tmp_path}/q.db")


def test_a_damaged_file_is_an_error(tmp_path):
    path = tmp_path / "q.db"
    with open_broker(f"sqlite:///{path}") as broker:
        broker.create_topic("t")
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)  # all but the first page
    path.write_bytes(data)
    with pytest.raises(QueueError, match="damaged"), open_broker(f"sqlite:///{path}") as broker:
        broker.topics()


def test_a_locked_file_is_an_error_after_the_busy_timeout(tmp_path):
    with open_broker(f"sqlite:///{tmp_path}/q.db?busy_timeout=0.1") as broker:
        other = sqlite3.connect(tmp_path / "q.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(QueueError, match=r"another process has kept it locked for 0\.1 s"):
            broker.create_topic("t")
        other.execute("ROLLBACK")
        other.close()
        broker.create_topic("t")


def test_many_processes_may_make_the_same_new_file(tmp_path):
    code = (
        "import sys; from streamzarr.queue import open_broker\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "open_broker(sys.argv[1]).create_topic('t', 3, exist_ok=True)"
    )
    argv = [sys.executable, "-c", code, f"sqlite:///{tmp_path}/q.db"]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    racers = [subprocess.Popen(argv, **pipes) for _ in range(5)]
    for racer in racers:
        racer.stdout.readline()
    for racer in racers:
        racer.stdin.write(b"\n")
        racer.stdin.flush()
    for racer in racers:
        _, errors = racer.communicate(timeout=60)
        assert racer.returncode == 0, errors.decode()
    with open_broker(f"sqlite:///{tmp_path}/q.db") as broker:
        assert broker.describe("t").partitions == 3


def test_importing_and_opening_start_no_thread_and_load_nothing_heavy(tmp_path):
    code = (
        "import sys, threading; from streamzarr.queue import open_broker\n"
        "broker = open_broker(sys.argv[1]); broker.create_topic('t'); broker.describe('t')\n"
        "heavy = {'confluent_kafka', 'reactivex', 'boto3', 'numpy'} & set(sys.modules)\n"
        "assert threading.active_count() == 1 and not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code, f"sqlite:///{tmp_path}/q.db"], check=True, timeout=60)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "ü", "x" * 250])
def test_topic_names_follow_kafkas_rule(tmp_path, name):
    with (
        open_broker(f"sqlite:///{tmp_path}/q.db") as broker,
        pytest.raises(ConfigError, match="expected 1 to 249"),
    ):
        broker.create_topic(name)


@pytest.mark.parametrize("count", [0, -1, 10_001])
def test_the_number_of_partitions_is_bounded(tmp_path, count):
    with (
        open_broker(f"sqlite:///{tmp_path}/q.db") as broker,
        pytest.raises(ConfigError, match="expected 1 to"),
    ):
        broker.create_topic("t", count)


def test_a_full_disk_is_an_error_and_space_heals_it(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(small)], check=True)
    try:
        ballast = Path(small, "ballast")
        with open_broker(f"sqlite:///{small}/q.db") as broker:
            broker.create_topic("t")
            ballast.write_bytes(bytes(1 << 20))
            with broker.producer() as producer:
                producer.send("t", [NewRecord(bytes(1 << 20))])
                with pytest.raises(QueueError, match=r"1 records were not written .*the disk is full"):
                    producer.flush()
                ballast.unlink()
                producer.send("t", [NewRecord(b"fits")])
                producer.flush()
            with broker.reader("t") as reader:
                assert [record.value for record in reader.poll(10, 1.0)] == [b"fits"]
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.mark.parametrize(
    "url", ["kafka://[::1?sasl.password=secret", "kafka://u:secret@h\uff1a1:9092", "sqlite://[x"]
)
def test_what_is_no_url_is_refused_in_one_sentence_without_its_password(url):
    with pytest.raises(ConfigError, match="is no URL") as refused:
        open_broker(url)
    assert "secret" not in str(refused.value)
