"""The size of an embedded broker's file follows what it holds."""

import sqlite3
import threading

import pytest

from streamzarr.queue import NewRecord, TopicPartition, open_broker
from streamzarr.queue.embedded.shrink import LEAST_FREE, MOST_LIVE, worth_shrinking

P0 = TopicPartition("tasks", 0)


@pytest.fixture
def broker(tmp_path):
    with open_broker(f"sqlite:///{tmp_path}/q.db") as broker:
        broker.create_topic("tasks", 4)
        broker.create_topic("register")
        yield broker


def sizes(tmp_path):
    return {name: (tmp_path / name).stat().st_size for name in ("q.db", "q.db-wal")}


def send_tasks(broker, count, producer=None):
    """Send what a job of so many tasks sends: some 300 bytes each."""
    with broker.producer() as producer:
        for start in range(0, count, 500):
            producer.send(
                "tasks",
                [NewRecord(b"%0300d" % n, partition=n % 4) for n in range(start, min(start + 500, count))],
            )


def trim_all(broker):
    broker.trim("tasks", broker.describe("tasks").end)


def test_the_file_of_a_finished_job_of_100_000_tasks_is_small_again(broker, tmp_path):
    send_tasks(broker, 100_000)
    assert sum(sizes(tmp_path).values()) > 30e6
    trim_all(broker)
    assert sizes(tmp_path)["q.db"] < 200_000
    assert sizes(tmp_path)["q.db-wal"] == 0
    send_tasks(broker, 4)
    assert dict(broker.describe("tasks").end) == dict.fromkeys(range(4), 25_001)


def test_an_existing_file_shrinks_too(tmp_path):
    with open_broker(f"sqlite:///{tmp_path}/q.db") as broker:
        broker.create_topic("tasks", 4)
        send_tasks(broker, 20_000)
    with sqlite3.connect(tmp_path / "q.db") as db:
        assert db.execute("PRAGMA auto_vacuum").fetchone() == (0,), "as files of earlier versions"
    db.close()
    with open_broker(f"sqlite:///{tmp_path}/q.db") as broker:
        trim_all(broker)
    assert (tmp_path / "q.db").stat().st_size < 200_000


def test_a_deleted_topic_gives_its_space_back(broker, tmp_path):
    send_tasks(broker, 20_000)
    broker.delete_topic("tasks")
    assert sizes(tmp_path)["q.db"] < 200_000


def test_members_and_producers_at_work_notice_nothing(broker, tmp_path):
    send_tasks(broker, 20_000)
    got, ready, stop = [], threading.Event(), threading.Event()

    def consume():
        with open_broker(broker.url) as mine, mine.consumer(["register"], "g") as consumer:
            while not stop.is_set() or not got or got[-1] != b"99":
                got.extend(record.value for record in consumer.poll(10, 0.05))
                ready.set()
            consumer.commit({TopicPartition("register", 0): len(got)})

    thread = threading.Thread(target=consume, daemon=True)
    thread.start()
    assert ready.wait(30)
    with open_broker(broker.url) as other, other.producer() as producer:
        for n in range(100):
            producer.send("register", [NewRecord(b"%d" % n)])
            if n == 50:
                trim_all(broker)
    stop.set()
    thread.join(30)
    assert got == [b"%d" % n for n in range(100)]
    assert broker.committed("g", "register") == {0: 100}
    assert sizes(tmp_path)["q.db"] < 200_000


def test_a_reader_keeps_the_log_from_being_emptied_but_nothing_from_being_trimmed(
    broker, tmp_path, monkeypatch
):
    monkeypatch.setattr("streamzarr.queue.embedded.shrink._PATIENCE_MS", 50)
    send_tasks(broker, 20_000)
    reader = sqlite3.connect(tmp_path / "q.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM batches").fetchone()  # keeps the log from being emptied
    trim_all(broker)
    assert dict(broker.describe("tasks").begin) == dict.fromkeys(range(4), 5000)
    reader.execute("ROLLBACK")
    reader.close()
    send_tasks(broker, 4)
    trim_all(broker)
    assert sizes(tmp_path) == {"q.db": pytest.approx(100_000, abs=100_000), "q.db-wal": 0}


def test_shrinking_never_copies_more_than_it_frees():
    assert not worth_shrinking(live=0, free=LEAST_FREE - 1)
    assert worth_shrinking(live=0, free=LEAST_FREE)
    assert worth_shrinking(live=LEAST_FREE, free=LEAST_FREE)
    assert not worth_shrinking(live=LEAST_FREE + 1, free=LEAST_FREE)
    assert not worth_shrinking(live=MOST_LIVE + 1, free=2 * MOST_LIVE)
