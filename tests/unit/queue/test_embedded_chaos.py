"""Members die and stop at random while a topic is worked off: nothing is lost, and it ends."""

import multiprocessing
import os
import random
import signal
import threading
import time

import pytest

from streamzarr.errors import FencedError
from streamzarr.queue import NewRecord, OffsetWindow, TopicPartition, open_broker

ATTACKS = 12
RECORDS = 1500
PARTITIONS = 8


def work(broker):
    """Copy records to the topic ``done`` before their offsets are committed."""
    windows = {}

    class Listener:
        def on_assigned(self, partitions):
            windows.update((partition, OffsetWindow()) for partition in partitions)

        def on_revoked(self, partitions):
            self.on_lost(partitions)

        def on_lost(self, partitions):
            for partition in partitions:
                del windows[partition]

    rng = random.Random(os.getpid())
    with (
        broker.producer() as producer,
        broker.consumer(["todo"], "g", listener=Listener(), session_timeout=1.0) as consumer,
    ):
        while True:
            records = consumer.poll(50, 0.1)
            for record in records:
                windows[TopicPartition(record.topic, record.partition)].deliver(record.offset)
            rng.shuffle(records)
            producer.send("done", [NewRecord(record.value) for record in records])
            producer.flush()
            for record in records:
                windows[TopicPartition(record.topic, record.partition)].ack(record.offset)
            watermarks = {p: w.watermark for p, w in windows.items() if w.watermark is not None}
            try:
                consumer.commit(watermarks)
            except FencedError:
                continue  # the next poll tells what was lost


def start_missing(workers, broker):
    spawn = multiprocessing.get_context("spawn")
    workers[:] = [worker for worker in workers if worker.is_alive()]
    while len(workers) < 3:
        workers.append(spawn.Process(target=work, args=(broker,)))
        workers[-1].start()


def strike(victim):
    victim.kill()
    victim.join()


def stop_for_a_session(victim, broker):
    """Stop a member until the broker takes it for dead, and let it find out for itself."""
    until(lambda: broker.members("g") == 3)
    os.kill(victim.pid, signal.SIGSTOP)
    until(lambda: broker.members("g") < 3)
    os.kill(victim.pid, signal.SIGCONT)


def until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)


@pytest.mark.chaos
def test_members_killed_and_stopped_at_random_lose_nothing(tmp_path):
    rng = random.Random(0)
    workers, done = [], []
    deadline = time.monotonic() + 120
    with open_broker(f"sqlite:///{tmp_path}/q.db") as broker:
        broker.create_topic("todo", PARTITIONS)
        broker.create_topic("done", 1)
        try:
            with broker.reader("done") as reader, broker.producer() as producer:
                for attack in range(ATTACKS):
                    start_missing(workers, broker)
                    numbers = range(attack * RECORDS, (attack + 1) * RECORDS)
                    producer.send("todo", [NewRecord(b"%d" % n, key=b"%d" % n) for n in numbers])
                    while not (records := reader.poll(1000, 0.3)):  # now they are in the middle of it
                        assert time.monotonic() < deadline
                    done += records
                    victim = rng.choice(workers)
                    stop_for_a_session(victim, broker) if attack % 4 == 3 else strike(victim)
                producer.flush()
                end = broker.describe("todo").end
                while broker.committed("g", "todo") != end:
                    assert time.monotonic() < deadline, (broker.groups(), end)
                    start_missing(workers, broker)
                    done += reader.poll(1000, 0.3)
                while records := reader.poll(1000, 0.0):
                    done += records
        finally:
            for worker in workers:
                worker.kill()
                worker.join()
    assert {int(record.value) for record in done} == set(range(ATTACKS * RECORDS))
