"""What only the embedded broker does: processes, signals, files.

What all brokers do is in tests/integration/test_brokers.py.
"""

import gc
import multiprocessing
import os
import select
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from array import array

import pytest

from streamzarr.errors import FencedError, MessageError, QueueError, TopicNotFoundError
from streamzarr.queue import NewRecord, TopicPartition, open_broker
from streamzarr.queue.embedded import fetch, presence
from streamzarr.queue.embedded import producer as producer_module

spawn = multiprocessing.get_context("spawn")
PATIENCE = 30.0


@pytest.fixture
def broker(tmp_path):
    with open_broker(f"sqlite:///{tmp_path}/q.db") as broker:
        broker.create_topic("t", 4)
        yield broker


def live(broker):
    return os.listdir(broker._database.live)


def put(broker, count, topic="t"):
    with broker.producer() as producer:
        producer.send(topic, [NewRecord(b"%d" % n, partition=n % 4) for n in range(count)])


def poll_until(condition, *consumers):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        for consumer in consumers:
            consumer.poll(0, 0.02)


def hold(broker, pipe, session_timeout):
    """Own what there is until told to stop, in another process."""
    with broker.consumer(["t"], "g", session_timeout=session_timeout) as consumer:
        consumer.poll(100, 0.0)
        pipe.send(len(consumer.assignment()))
        while not pipe.poll(0):
            consumer.poll(100, 0.05)
        owned = consumer.assignment()
        try:
            consumer.commit({TopicPartition("t", n): 1 for n in range(4)})
        except FencedError as error:
            pipe.send((str(error), len(owned)))


def start_holder(broker, session_timeout):
    here, there = spawn.Pipe()
    process = spawn.Process(target=hold, args=(broker, there, session_timeout))
    process.start()
    there.close()
    assert here.poll(PATIENCE)
    assert here.recv() == 4
    return process, here


def test_a_killed_member_is_noticed_at_once_however_long_its_session(broker):
    process, _ = start_holder(broker, session_timeout=3600.0)
    with broker.consumer(["t"], "g") as survivor:
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        killed = time.monotonic()
        poll_until(lambda: len(survivor.assignment()) == 4, survivor)
        assert time.monotonic() - killed < 2 * presence.RECHECK + 0.5
        assert len(live(broker)) == 2, "the survivor's bell and beat; the dead one's were collected"


def test_a_stopped_member_is_replaced_after_its_session_and_fenced_when_it_wakes(broker):
    process, pipe = start_holder(broker, session_timeout=0.5)
    with broker.consumer(["t"], "g") as survivor:
        poll_until(lambda: len(survivor.assignment()) == 2, survivor)
        os.kill(process.pid, signal.SIGSTOP)
        try:
            poll_until(lambda: len(survivor.assignment()) == 4, survivor)
            survivor.commit({TopicPartition("t", n): 7 for n in range(4)})
            pipe.send("stop")
        finally:
            os.kill(process.pid, signal.SIGCONT)
        assert pipe.poll(PATIENCE)
        message, _ = pipe.recv()
        assert "no longer belong to this consumer" in message
        process.join(PATIENCE)
        assert process.exitcode == 0
    assert broker.committed("g", "t") == dict.fromkeys(range(4), 7)


def test_a_busy_member_keeps_its_partitions_while_its_poll_interval_lasts(broker):
    busy = broker.consumer(["t"], "g", session_timeout=0.3)
    busy.poll(0, 0.0)
    other = broker.consumer(["t"], "g")
    until = time.monotonic() + 1.0
    while time.monotonic() < until:
        other.poll(0, 0.05)
        assert other.assignment() == frozenset()
    busy.commit({TopicPartition("t", 0): 1})
    busy.close()
    other.close()


def test_a_waiting_consumer_sleeps_and_a_producer_of_another_process_wakes_it(broker):
    code = (
        "import sys; from streamzarr.queue import NewRecord, open_broker\n"
        "broker = open_broker(sys.argv[1]); producer = broker.producer()\n"
        "sys.stdin.readline(); producer.send('t', [NewRecord(b'x')]); producer.flush()\n"
        "print('sent', flush=True); sys.stdin.readline()"
    )
    sender = subprocess.Popen(
        [sys.executable, "-c", code, broker.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with broker.consumer(["t"], "g") as consumer:
        consumer.poll(0, 0.0)
        used = time.process_time()
        assert consumer.poll(10, 1.0) == []
        assert time.process_time() - used < 0.1, "waiting takes no processor time"
        sender.stdin.write("\n")
        sender.stdin.flush()
        select.select([sender.stdout], [], [], PATIENCE)
        assert [record.value for record in consumer.poll(10, PATIENCE)] == [b"x"]
    sender.communicate("\n", timeout=PATIENCE)


def test_no_wake_up_is_lost(broker):
    """One thread answers each record of the other: a lost ring costs RECHECK seconds, 200 would be seen."""
    broker.create_topic("back", 1)
    rounds = 200

    def answer():
        with broker.reader("t") as reader, broker.producer() as producer:
            for _ in range(rounds):
                [record] = reader.poll(1, PATIENCE)
                producer.send("back", [NewRecord(record.value)])

    thread = threading.Thread(target=answer)
    thread.start()
    started = time.monotonic()
    with broker.reader("back") as reader, broker.producer() as producer:
        for n in range(rounds):
            producer.send("t", [NewRecord(b"%d" % n)])
            assert [record.value for record in reader.poll(1, PATIENCE)] == [b"%d" % n]
    thread.join()
    assert time.monotonic() - started < rounds * presence.RECHECK / 4


def test_closing_leaves_no_file_and_no_thread(broker):
    others = threading.enumerate()  # of tests before, whose brokers were damaged
    reader, consumer, producer = broker.reader("t"), broker.consumer(["t"], "g"), broker.producer()
    reader.poll(1, 0.01)
    consumer.poll(1, 0.0)
    producer.send("t", [NewRecord(b"x")])
    for each in (reader, consumer, producer):
        each.close()
    assert live(broker) == []
    deadline = time.monotonic() + PATIENCE
    while any(
        thread.name.startswith("streamzarr-") and thread not in others for thread in threading.enumerate()
    ):
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


def test_dead_readers_are_collected(broker):
    code = (
        "import os, sys; from streamzarr.queue import open_broker\n"
        "reader = open_broker(sys.argv[1]).reader('t'); reader.poll(1, 0.01); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, broker.url], check=False).returncode == 9
    assert len(live(broker)) == 1
    put(broker, 1)
    assert live(broker) == []


def in_child(function):
    """Fork, run `function`, and return what it returns or raises, as text."""
    here, there = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            text = str(function())
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
        os.write(there, text.encode())
        os._exit(0)
    os.close(there)
    with open(here) as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    return text


def test_a_forked_child_survives_its_parents_close(broker):
    """With the parent's connection it would hold no lock, and closing would delete the log under it."""
    put(broker, 4)
    go, closed = os.pipe()

    def child():
        with broker.producer() as producer:
            producer.send("t", [NewRecord(b"before")])
            producer.flush()
            ready.send(None)
            os.read(go, 1)
            producer.send("t", [NewRecord(b"after")])
            producer.flush()
        with broker.reader("t") as reader:
            return len(reader.poll(100, 1.0))

    waits, ready = multiprocessing.Pipe()

    def close():
        waits.recv()
        broker.close()
        os.write(closed, b"x")

    closer = threading.Thread(target=close)
    closer.start()
    assert in_child(child) == "6"
    closer.join()
    assert sum(broker.describe("t").end.values()) == 6


def test_records_queued_before_a_fork_are_written_once(broker):
    producer = broker.producer()
    for n in range(50):
        producer.send("t", [NewRecord(b"x" * 1000)] * 20)
        if n % 10 == 5:
            assert in_child(producer.flush) == "None"
    producer.close()
    assert sum(broker.describe("t").end.values()) == 1000


def test_a_consumer_does_not_work_in_a_forked_child_and_is_not_harmed_by_it(broker):
    put(broker, 4)
    consumer, reader = broker.consumer(["t"], "g"), broker.reader("t")
    assert len(consumer.poll(1, 1.0)) == 1
    assert "belongs to process" in in_child(lambda: consumer.poll(1, 0.0))
    assert "belongs to process" in in_child(lambda: consumer.commit({TopicPartition("t", 0): 1}))
    assert "belongs to process" in in_child(lambda: reader.poll(1, 0.0))
    assert in_child(consumer.close) == "None"
    assert len(consumer.assignment()) == 4
    assert len(consumer.poll(100, 1.0)) == 3
    consumer.close()
    reader.close()


def test_a_forked_child_does_not_hide_its_parents_death(broker):
    code = (
        "import os, sys, signal; from streamzarr.queue import open_broker\n"
        "consumer = open_broker(sys.argv[1]).consumer(['t'], 'g', session_timeout=3600.0)\n"
        "consumer.poll(0, 0.0)\n"
        "child = os.fork()\n"
        "if not child: signal.pause()\n"
        "print(child, flush=True); signal.pause()"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, broker.url], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    try:
        parent.kill()
        parent.wait()
        with broker.consumer(["t"], "g") as survivor:
            poll_until(lambda: len(survivor.assignment()) == 4, survivor)
    finally:
        os.kill(child, signal.SIGKILL)
        parent.stdout.close()


def test_a_writer_killed_at_any_moment_leaves_whole_batches(broker):
    """kill -9 in a loop: what was flushed is there, and offsets have no gap."""
    code = (
        "import sys; from streamzarr.queue import NewRecord, open_broker\n"
        "producer = open_broker(sys.argv[1]).producer(); n = int(sys.argv[2])\n"
        "while True:\n"
        "    producer.send('t', [NewRecord(b'%d' % (n + i), partition=0) for i in range(7)])\n"
        "    producer.flush(); n += 7; print(n, flush=True)"
    )
    flushed = 0
    for lines in (1, 2, 4, 7):
        argv = [sys.executable, "-c", code, broker.url, str(broker.describe("t").end[0])]
        writer = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        for _ in range(lines):
            flushed = int(writer.stdout.readline())
        writer.kill()
        writer.wait()
        writer.stdout.close()
        end = broker.describe("t").end[0]
        assert end >= flushed
        assert end % 7 == 0
    with broker.reader("t") as reader:
        values = []
        while records := reader.poll(1000, 0.0):
            values += [int(record.value) for record in records]
    assert values == list(range(end))


def test_a_deleted_topic_is_told_to_those_who_use_it(broker):
    put(broker, 4)
    producer, reader, consumer = broker.producer(), broker.reader("t"), broker.consumer(["t"], "g")
    producer.send("t", [NewRecord(b"x")])
    producer.flush()
    consumer.poll(1, 0.0)
    broker.delete_topic("t")
    producer.send("t", [NewRecord(b"x")])
    with pytest.raises(TopicNotFoundError, match="1 records were not written"):
        producer.flush()
    for each in (reader, consumer):
        with pytest.raises(TopicNotFoundError, match="'t'"):
            each.poll(1, 0.0)
    assert consumer.assignment() == frozenset()
    broker.create_topic("t", 2)
    poll_until(lambda: len(consumer.assignment()) == 2, consumer)
    producer.send("t", [NewRecord(b"new")])
    producer.flush()
    assert [record.value for record in consumer.poll(10, PATIENCE)] == [b"new"]
    for each in (reader, consumer, producer):
        each.close()


def test_a_listener_that_raises_is_called_again(broker):
    class Fails:
        failures = 1
        calls = 0

        def on_assigned(self, partitions):
            pass

        def on_lost(self, partitions):
            pass

        def on_revoked(self, partitions):
            self.calls += 1
            if self.calls <= self.failures:
                raise RuntimeError("cannot drain")

    listener = Fails()
    one = broker.consumer(["t"], "g", listener=listener)
    one.poll(0, 0.0)
    two = broker.consumer(["t"], "g")
    with pytest.raises(RuntimeError, match="cannot drain"):
        one.poll(0, 0.0)
    two.poll(0, 0.0)
    assert (len(one.assignment()), len(two.assignment())) == (4, 0)
    poll_until(lambda: len(two.assignment()) == 2, one, two)
    assert listener.calls == 2
    listener.failures = 3
    with pytest.raises(RuntimeError, match="cannot drain"):
        one.close()
    poll_until(lambda: len(two.assignment()) == 4, two)
    two.close()


def test_a_sent_record_must_be_bytes_and_nothing_of_a_bad_call_is_queued(broker):
    with broker.producer() as producer:
        for bad in (
            NewRecord("text"),
            NewRecord(5),
            NewRecord(b"", "key"),
            NewRecord(b"", headers=(("a", "b"),)),
        ):
            with pytest.raises(TypeError):
                producer.send("t", [NewRecord(b"fine"), bad])
        with pytest.raises(MessageError, match="expected at most"):
            producer.send("t", [NewRecord(b"fine"), NewRecord(bytes(17 << 20))])
        with pytest.raises(QueueError, match="has 4 partitions, got 4"):
            producer.send("t", [NewRecord(b"fine"), NewRecord(b"", partition=4)])
    assert sum(broker.describe("t").end.values()) == 0


def test_other_buffers_are_copied_by_their_bytes(broker):
    with broker.producer() as producer:
        wide = memoryview(array("d", [1.0, 2.0]))
        producer.send("t", [NewRecord(wide, bytearray(b"k"), (("h", wide),)), NewRecord(b"next", key=b"k")])
    with broker.reader("t") as reader:
        one, two = reader.poll(2, 1.0)
    assert (one.key, one.value, one.headers) == (b"k", wide.tobytes(), (("h", wide.tobytes()),))
    assert two.value == b"next"


def test_sending_blocks_while_too_much_waits(broker, monkeypatch):
    monkeypatch.setattr(producer_module, "MAX_BUFFERED_BYTES", 8000)
    other = sqlite3.connect(broker._path, isolation_level=None)
    producer = broker.producer()
    producer.send("t", [NewRecord(b"warm")])
    producer.flush()
    other.execute("BEGIN IMMEDIATE")  # nobody can write now
    producer.send("t", [NewRecord(b"being written")])
    deadline = time.monotonic() + PATIENCE
    while producer._next.pending:
        assert time.monotonic() < deadline
    sent = []

    told = []

    def send():
        for n in range(20):
            try:
                producer.send("t", [NewRecord(bytes(1000))])
            except QueueError as error:
                told.append(str(error))
            sent.append(n)

    thread = threading.Thread(target=send)
    thread.start()
    thread.join(0.3)
    assert 0 < len(sent) < 8
    with pytest.raises(QueueError, match=r"records were not written within 0\.1 s"):
        producer.flush(0.1)
    other.execute("ROLLBACK")
    other.close()
    thread.join(PATIENCE)
    assert len(sent) == 20
    assert len(told) == 1, "its records were given up with the others"
    producer.close()


def test_a_poll_is_bounded_in_bytes(broker, monkeypatch):
    monkeypatch.setattr(fetch, "MAX_POLL_BYTES", 1 << 20)
    with broker.producer() as producer:
        producer.send("t", [NewRecord(bytes(100 << 10), partition=n % 2) for n in range(50)])
    with broker.reader("t") as reader:
        sizes = []
        while records := reader.poll(1000, 0.0):
            sizes.append(len(records))
    assert sum(sizes) == 50
    assert max(sizes) <= 12


def test_records_that_were_sent_one_by_one_are_read_together(broker):
    with broker.producer() as producer:
        for number in range(40):
            producer.send("t", [NewRecord(b"%d" % number, key=b"k", partition=number % 2)])
            producer.flush()
    with broker.reader("t") as reader:
        runs = reader.poll_columns(100, 0)
    assert sorted((run.partition, len(run)) for run in runs) == [(0, 20), (1, 20)]
    assert {run.partition: [int(value) for value in run.values] for run in runs} == {
        0: [*range(0, 40, 2)],
        1: [*range(1, 40, 2)],
    }


def test_what_is_left_of_a_batch_comes_with_what_follows_it(broker):
    with broker.producer() as producer:
        for _ in range(2):
            producer.send("t", [NewRecord(b"", partition=number % 2) for number in range(24)])
            producer.flush()
    with broker.reader("t") as reader:
        assert [len(run) for run in reader.poll_columns(2, 0)] == [2]
        runs = reader.poll_columns(100, 0)
    assert sorted(len(run) for run in runs) == [22, 24]


def test_members_of_other_groups_and_topics_do_not_disturb(broker):
    broker.create_topic("other", 2)
    one = broker.consumer(["t"], "g")
    mixed = broker.consumer(["t", "other"], "g")
    poll_until(lambda: len(one.assignment()) + len(mixed.assignment()) == 6, one, mixed)
    assert len(one.assignment()) == len(mixed.assignment()) == 3
    assert all(partition.topic == "t" for partition in one.assignment())
    one.close()
    mixed.close()


def test_an_abandoned_consumer_is_only_noticed_by_its_timeout_but_leaks_no_lock(broker):
    consumer = broker.consumer(["t"], "g", session_timeout=0.3, max_poll_interval=0.3)
    consumer.poll(0, 0.0)
    with broker.consumer(["t"], "g") as other:
        poll_until(lambda: len(other.assignment()) == 4, other)
    del consumer
    gc.collect()
    broker.create_topic("still-writable")
