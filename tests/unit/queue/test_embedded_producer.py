"""A producer that threads share, while the file is locked and while descriptors are short."""

import contextlib
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from streamzarr.errors import QueueError
from streamzarr.queue import NewRecord, open_broker
from streamzarr.queue.scan import scan

PATIENCE = 60.0


@pytest.fixture
def broker(tmp_path):
    with open_broker(f"sqlite:///{tmp_path}/q.db") as broker:
        broker.create_topic("t", 1)
        yield broker


@pytest.fixture
def producer(broker):
    producer = broker.producer()
    producer.send("t", [NewRecord(b"warm")])
    producer.flush()
    yield producer
    with contextlib.suppress(QueueError):
        producer.close()


@contextlib.contextmanager
def locked(broker):
    """Let nobody write."""
    other = sqlite3.connect(broker._path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def stored(broker):
    return [record.value for record in scan(broker, "t")]


class Sender(threading.Thread):
    """Sends one record, says so, and flushes when told to; `error` is what flush raised."""

    def __init__(self, producer, value, timeout=PATIENCE):
        super().__init__(daemon=True)
        self.producer, self.value, self.timeout = producer, value, timeout
        self.sent, self.may_flush = threading.Event(), threading.Event()
        self.error = None
        self.start()

    def run(self):
        self.producer.send("t", [NewRecord(self.value)])
        self.sent.set()
        self.may_flush.wait(PATIENCE)
        try:
            self.producer.flush(self.timeout)
        except QueueError as error:
            self.error = error


def until_written_to(producer):
    """Wait until what was sent so far is being written."""
    deadline = time.monotonic() + PATIENCE
    while producer._next.pending:
        assert time.monotonic() < deadline


@pytest.mark.parametrize("flushes_first", [False, True])
def test_a_flush_that_times_out_tells_every_thread_whose_record_it_drops(broker, producer, flushes_first):
    with locked(broker):
        ours = Sender(producer, b"ours", timeout=0.2)
        assert ours.sent.wait(PATIENCE)
        until_written_to(producer)  # ours is in the transaction that waits for the lock
        theirs = Sender(producer, b"theirs")
        assert theirs.sent.wait(PATIENCE)
        if flushes_first:
            theirs.may_flush.set()
        ours.may_flush.set()
        ours.join(PATIENCE)
        assert "2 records were not written within 0.2 s (2 of t[0])" in str(ours.error)
    theirs.may_flush.set()
    theirs.join(PATIENCE)
    assert "2 records were not written (2 of t[0])" in str(theirs.error), "its record was dropped"
    producer.send("t", [NewRecord(b"again")])
    producer.flush(PATIENCE)
    values = stored(broker)
    assert b"theirs" not in values
    assert values[-1] == b"again"


def test_a_flush_does_not_return_while_its_own_record_is_being_written(broker, producer):
    with locked(broker):
        early = Sender(producer, b"early")
        assert early.sent.wait(PATIENCE)
        until_written_to(producer)
        early.may_flush.set()
        for n in range(3):  # what is given up later must not count for what was sent before
            late = Sender(producer, b"late", timeout=0.05)
            assert late.sent.wait(PATIENCE)
            late.may_flush.set()
            late.join(PATIENCE)
            assert late.error is not None, n
    early.join(PATIENCE)
    assert early.error is not None or b"early" in stored(broker)


def test_threads_that_send_and_flush_under_a_lock_that_comes_and_goes_lose_nothing_in_silence(
    broker, producer
):
    believed, lock = [], threading.Lock()

    def work(name):
        for n in range(30):
            value = b"%s %d" % (name, n)
            try:
                producer.send("t", [NewRecord(value)])
                producer.flush(0.02)
            except QueueError:
                continue
            with lock:
                believed.append(value)

    threads = [threading.Thread(target=work, args=(name,)) for name in (b"a", b"b", b"c", b"d")]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        with locked(broker):
            threads[0].join(0.03)
        threads[0].join(0.03)
    assert set(believed) <= set(stored(broker))


def test_what_the_writer_is_refused_is_told_to_each_sender(broker, producer):
    senders = [Sender(producer, b"%d" % n) for n in range(3)]
    for sender in senders:
        assert sender.sent.wait(PATIENCE)
    producer.flush()
    broker.delete_topic("t")
    producer.send("t", [NewRecord(b"lost")])
    with pytest.raises(QueueError, match="was deleted"):
        producer.flush()
    for sender in senders:
        sender.may_flush.set()
        sender.join(PATIENCE)
        assert "topic 't' was deleted" in str(sender.error)


SHORT_OF_DESCRIPTORS = """
import os, resource, sys
from streamzarr.errors import QueueError
from streamzarr.queue import NewRecord, open_broker
from streamzarr.queue.scan import scan

broker = open_broker(sys.argv[1])
broker.create_topic("t")
warm, cold = broker.producer(), broker.producer()
warm.send("t", [NewRecord(b"warm")])
warm.flush()
consumer = broker.consumer(["t"], "g")
consumer.poll(1, 5.0)
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
highest = max(map(int, os.listdir("/proc/self/fd")))
taken = []

def attempt(producer, value):
    try:
        producer.send("t", [NewRecord(value)])
        producer.flush(5.0)
    except QueueError as error:
        assert "within" not in str(error), f"wedged: {error}"
        return False
    return True

believed = [b"warm"]
resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 2, hard))
try:
    while True:
        taken.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
for n in range(3):
    for name, producer in (("warm", warm), ("cold", cold)):
        value = f"{name} short {n}".encode()
        if attempt(producer, value):
            believed.append(value)
consumer.poll(10, 0.0)
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
for fd in taken:
    os.close(fd)
for name, producer in (("warm", warm), ("cold", cold)):
    assert attempt(producer, name.encode() + b" later"), name
    believed.append(name.encode() + b" later")
there = [record.value for record in scan(broker, "t")]
assert set(believed) <= set(there), (believed, there)
consumer.poll(10, 0.0)
warm.close(), cold.close(), consumer.close(), broker.close()
print("well")
"""


def test_a_shortage_of_descriptors_is_an_error_while_it_lasts_and_no_longer(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-c", SHORT_OF_DESCRIPTORS, f"sqlite:///{tmp_path}/q.db"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ran.returncode, ran.stdout.strip()) == (0, "well"), ran.stderr


def test_no_more_threads_is_an_error_that_leaves_nothing_queued(broker, monkeypatch):
    producer = broker.producer()

    def refuse(self):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(QueueError, match="can't start new thread, nothing was queued"):
            producer.send("t", [NewRecord(b"refused")])
    producer.send("t", [NewRecord(b"taken")])
    producer.close()
    assert stored(broker) == [b"taken"]
