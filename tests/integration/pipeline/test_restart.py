"""A restart goes on where it was: what is done is not done again, whatever was behind it."""

import subprocess
import sys
import threading

import pytest

from streamzarr.pipeline import Pipeline
from streamzarr.queue import TopicPartition, ahead
from tests.support.pipelines import PATIENCE, Noted, until

HELD = b"held"

WORKER = """
import sys
from streamzarr.pipeline import Pipeline, TopicSource

class Holding(Pipeline):
    def handle_message(self, message, context):
        if message.value == b"held":
            import threading
            threading.Event().wait()
        sys.stdout.write(message.value.decode() + chr(10))
        sys.stdout.flush()
        return message

url, topic, group = sys.argv[1:]
Holding.run(source=TopicSource(url, topics=[topic], group=group, session_timeout=6.0))
"""


class Holding(Pipeline):
    """Does not come to an end with one record, until it is told to."""

    def handle_message(self, message, context):
        noted, release = context
        if message.value == HELD:
            release.wait(2 * PATIENCE)
        noted.note(noted.handled, [message.value])
        return message


def records(count):
    return [HELD, *(b"n%d" % n for n in range(count))]


def test_what_was_done_behind_a_slow_record_is_not_done_again(place):
    topic, noted, release = place.topic("in"), Noted(), threading.Event()
    place.fill(topic, records(2000))
    pipeline = Holding.start(source=place.source(topic), context=(noted, release), max_in_flight=3000)
    until(lambda: place.ahead(topic) == 2000, "all but the slow one is done")
    pipeline.stop(drain=0.5)
    assert (place.committed(topic), place.ahead(topic)) == ({0: 0}, 2000)
    release.set()
    with Holding.start(source=place.source(topic), context=(noted, release)):
        until(lambda: place.committed(topic) == {0: 2001})
    assert len(noted.handled) == len(set(noted.handled)) + 1  # the slow one ended too, and was not counted


def test_nor_is_it_after_a_process_was_killed(place):
    topic, noted, release = place.topic("in"), Noted(), threading.Event()
    place.fill(topic, records(300))
    command = [sys.executable, "-c", WORKER, place.broker.url, topic, place.group]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        done = [process.stdout.readline().strip() for _ in range(300)]
        until(lambda: place.ahead(topic) == 300)
        process.kill()
    release.set()
    with Holding.start(source=place.source(topic), context=(noted, release)):
        until(lambda: place.committed(topic) == {0: 301})
    repeated = set(noted.handled) & set(done)
    assert not repeated
    assert set(noted.handled) | set(done) == set(records(300))


@pytest.mark.parametrize(
    "note",
    [
        ahead.encode(0, [range(3, 6)]),  # copied from another cluster, say: that position was 0
        ahead.encode(2, [range(4, 11)]),  # the cluster has lost what was there, and others have their offsets
        ahead.encode(2, [range(3 + 2 * n, 4 + 2 * n) for n in range(3)])[:-2],
        f"streamzarr.ahead:1:{'0' * 20}",
        "what another tool has to say",
    ],
)
def test_a_note_that_is_not_about_what_is_there_skips_nothing(place, note):
    topic, noted = place.topic("in"), Noted()
    place.fill(topic, [b"n%d" % n for n in range(10)])
    partition = TopicPartition(topic, 0)
    with place.broker.consumer([topic], place.group) as consumer:
        until(lambda: consumer.poll(1, 0.1) and consumer.assignment())
        consumer.commit({partition: 2}, {partition: note})
    release = threading.Event()
    with Holding.start(source=place.source(topic), context=(noted, release)):
        until(lambda: place.committed(topic) == {0: 10})
    assert sorted(noted.handled) == [b"n%d" % n for n in range(2, 10)]
