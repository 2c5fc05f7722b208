"""Pipelines are killed, stopped, and lose their topic of letters: each record is stored, or a letter.

``STREAMZARR_CHAOS_RECORDS`` and ``STREAMZARR_CHAOS_EVENTS`` make it longer.
"""

import os
import random
import signal
import subprocess

import pytest

from streamzarr.runtime import SYSTEM, Deadline
from tests.integration.pipeline.conftest import place  # noqa: F401 - a fixture
from tests.support import chaos_worker
from tests.support.pipelines import until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1200)]

RECORDS = int(os.environ.get("STREAMZARR_CHAOS_RECORDS", "4000"))
EVENTS = int(os.environ.get("STREAMZARR_CHAOS_EVENTS", "8"))
WORKERS = 2


def test_each_record_is_stored_or_a_letter_whatever_happens_to_workers(place, tmp_path):  # noqa: F811
    topic, dead = place.topic("in", partitions=4), place.topic("dead")
    each = RECORDS // 4
    for partition in range(4):
        place.fill(topic, [b"%d" % n for n in range(each)], partition)
    out = tmp_path / "out"
    command = chaos_worker.command(place.broker.url, topic, dead, place.group, out)
    rng = random.Random(4)
    workers = [subprocess.Popen(command) for _ in range(WORKERS)]

    def stored():
        return out.read_bytes().count(b"\n") if out.exists() else 0

    def revive():
        """Start anew who has ended: also those that gave up while the topic of letters was away."""
        for number, worker in enumerate(workers):
            if worker.poll() is not None:
                workers[number] = subprocess.Popen(command)

    try:
        for event in range(EVENTS):
            until(lambda at=event: revive() or stored() >= RECORDS * at // (2 * EVENTS))
            victim = rng.choice(workers)
            match rng.choice(["kill", "kill", "stop", "term", "letters"]):
                case "kill":
                    victim.kill()
                    victim.wait()
                case "stop":
                    victim.send_signal(signal.SIGSTOP)
                    before, over = stored(), Deadline(SYSTEM, 3 * chaos_worker.SESSION)
                    # The others go on, unless it has the lock of the embedded broker's file.
                    until(lambda at=before, over=over: revive() or stored() > at or over.passed)
                    victim.send_signal(signal.SIGCONT)
                case "term":
                    victim.send_signal(signal.SIGTERM)
                case "letters":
                    before = stored()
                    kept = place.letters(dead)
                    if not kept:  # else they would go with their topic
                        place.broker.delete_topic(dead)
                        until(lambda before=before: revive() or stored() > before)
                        place.broker.create_topic(dead, exist_ok=True)
        until(
            lambda: revive() or place.committed(topic) == dict.fromkeys(range(4), each),
            "all is acknowledged",
        )
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    lines = chaos_worker.stored(out)
    letters = {(letter.partition, letter.offset) for letter in place.letters(dead)}
    everything = {(partition, offset) for partition in range(4) for offset in range(each)}
    assert letters == {origin for origin in everything if chaos_worker.is_bad(origin[1])}
    assert set(lines) == everything - letters
    # What was in flight when a worker was killed may be stored twice; what was acknowledged may not.
    assert lines.total() - len(lines) <= EVENTS * 2000
