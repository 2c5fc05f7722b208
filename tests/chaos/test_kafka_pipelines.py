"""Whatever befalls workers, broker and network, each record on Kafka is stored or a letter.

Each kind of event comes once, in an order that chance gives. ``STREAMZARR_CHAOS_RECORDS=1000000
STREAMZARR_CHAOS_EVENTS=200`` is the whole of it; ``STREAMZARR_CHAOS_SEED`` gives another order.
"""

import contextlib
import os
import random
import signal
import subprocess
import threading
import uuid

import pytest
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    ResourceType,
)

from streamzarr.queue import open_broker
from streamzarr.queue.base import NewRecord
from streamzarr.queue.kafka.clients import AdminClient
from streamzarr.queue.retry import is_transient
from tests.support import chaos_worker
from tests.support.kafka_proxy import OFFSET_COMMIT
from tests.support.pipelines import PATIENCE, Place, until

KINDS = (
    *("worker killed", "worker stopped", "broker killed", "connections cut"),
    *("commit lost", "commit unanswered", "partition added", "no letters"),
)
GENTLE = ("worker told to stop", "broker restarted")
"""Among the others where there is time for it."""
EVENTS = int(os.environ.get("STREAMZARR_CHAOS_EVENTS", len(KINDS)))
RECORDS = int(os.environ.get("STREAMZARR_CHAOS_RECORDS", 400 * EVENTS))
SEED = int(os.environ.get("STREAMZARR_CHAOS_SEED", "3"))
WORKERS = 2
MOST_PARTITIONS = 12

pytestmark = [pytest.mark.chaos, pytest.mark.kafka, pytest.mark.timeout(300 + 60 * EVENTS)]


class Stage:
    """Workers of one pipeline, their broker, and what may befall them."""

    def __init__(self, place, kafka, proxy, out, chance):
        self.place, self.kafka, self.proxy, self.out, self.chance = place, kafka, proxy, out, chance
        self.topic, self.dead = place.topic("in", partitions=3), place.topic("dead")
        self.admin = AdminClient({"bootstrap.servers": proxy.address})
        self.command = chaos_worker.command(place.broker.url, self.topic, self.dead, place.group, out)
        self.workers = [subprocess.Popen(self.command) for _ in range(WORKERS)]
        self.partitions = 3
        self.over = threading.Event()

    # -- work --------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def load(self, records):
        """Send records while something happens: all of them, however often that takes several tries."""
        errors = []

        def send():
            try:
                self._send(records)
            except BaseException as error:
                errors.append(error)

        sending = threading.Thread(target=send, daemon=True)
        sending.start()
        try:
            yield
        except BaseException:
            self.over.set()
            raise
        finally:
            sending.join()
        assert errors == []

    def _send(self, records):
        for start in range(0, records, 500):
            count = min(500, records - start)
            batch = [NewRecord(b"%d" % n, partition=n % self.partitions) for n in range(start, start + count)]
            while not self.over.is_set():
                try:
                    with self.place.broker.producer() as producer:
                        producer.send(self.topic, batch)
                    break
                except Exception as error:  # then some of them are there twice, which are records as well
                    if not is_transient(error):
                        raise

    def lines(self):
        return self.out.stat().st_size if self.out.exists() else 0

    def revive(self):
        """Start anew who has ended, such as by giving up while the broker was away."""
        for number, worker in enumerate(self.workers):
            if worker.poll() is not None:
                self.workers[number] = subprocess.Popen(self.command)

    def until_more_is_stored(self):
        before = self.lines()
        self._send(50)
        until(lambda: (self.revive(), self.lines() > before)[1], "more is stored")

    # -- events ------------------------------------------------------------------------------------------

    def befall(self, kind):
        victim = self.chance.choice(self.workers)
        match kind:
            case "worker killed":
                victim.kill()
                victim.wait()
            case "worker stopped":  # sometimes for so long that others get its partitions
                victim.send_signal(signal.SIGSTOP)
                threading.Event().wait(chaos_worker.SESSION * self.chance.choice([0.1, 0.1, 1.5]))
                victim.send_signal(signal.SIGCONT)
            case "worker told to stop":
                victim.send_signal(signal.SIGTERM)
                victim.wait(PATIENCE)
                assert victim.returncode in (0, 1, -signal.SIGTERM), "nothing to commit to, or not yet begun"
            case "broker killed":
                self.kafka.kill()
                self.kafka.start()
            case "broker restarted":
                self.kafka.stop()
                self.kafka.start()
            case "connections cut":
                self.proxy.cut()
            case "commit lost" | "commit unanswered":
                self.proxy.cut_at(OFFSET_COMMIT, "request" if kind == "commit lost" else "answer")
                self.until_more_is_stored()
                until(lambda: (self.revive(), not self.proxy.pending)[1], "a commit")
            case "partition added" if self.partitions < MOST_PARTITIONS:
                [made] = self.admin.create_partitions(
                    [NewPartitions(self.topic, self.partitions + 1)]
                ).values()
                made.result(PATIENCE)
                self.partitions += 1
            case "no letters":
                self._refuse_letters(2)  # of one replica
                self.until_more_is_stored()
                self._refuse_letters(1)

    def _refuse_letters(self, replicas):
        entry = ConfigEntry("min.insync.replicas", str(replicas), incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, self.dead, incremental_configs=[entry])
        [done] = self.admin.incremental_alter_configs([resource]).values()
        done.result(PATIENCE)

    # -- ending ------------------------------------------------------------------------------------------

    def until_all_is_acknowledged(self):
        ends = self.place.broker.describe(self.topic).end
        until(lambda: (self.revive(), self.place.committed(self.topic) == ends)[1], f"{ends}", 3 * PATIENCE)
        return ends

    def close(self):
        for worker in self.workers:
            worker.kill()
            worker.wait()


@pytest.fixture
def stage(proxied_kafka, tmp_path):
    kafka, proxy = proxied_kafka
    with open_broker(f"kafka://{proxy.address}") as broker:
        made = Stage(
            Place(broker, f"chaos-{uuid.uuid4().hex[:8]}"),
            *(kafka, proxy, tmp_path / "out", random.Random(SEED)),
        )
        with contextlib.closing(made):
            yield made


def test_each_record_is_stored_or_a_letter_whatever_happens(stage):
    deck, kinds = [], KINDS if len(KINDS) == EVENTS else KINDS + GENTLE
    for _ in range(EVENTS):
        deck = deck or stage.chance.sample(kinds, len(kinds))
        with stage.load(RECORDS // EVENTS):
            stage.befall(deck.pop())
            stage.revive()
    ends = stage.until_all_is_acknowledged()
    everything = {(partition, offset) for partition, end in ends.items() for offset in range(end)}
    assert len(everything) >= RECORDS // EVENTS * EVENTS
    bad = {origin for origin in everything if chaos_worker.is_bad(origin[1])}
    letters = {(letter.partition, letter.offset) for letter in stage.place.letters(stage.dead)}
    stored = chaos_worker.stored(stage.out)
    assert letters == bad
    assert set(stored) == everything - bad
    # What was in flight when a worker or a connection went may be stored twice; what was acknowledged not.
    assert stored.total() - len(stored) <= EVENTS * 3000
