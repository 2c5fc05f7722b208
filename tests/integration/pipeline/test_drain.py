"""SIGTERM under load ends within the deadline, and the report is right, time after time.

``STREAMZARR_DRAINS=50`` for as many tries as are wanted; a few of them otherwise.
"""

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.support.pipelines import PATIENCE

TRIES = int(os.environ.get("STREAMZARR_DRAINS", "3"))
DRAIN = 30.0

WORKER = f"""
DRAIN = {DRAIN}
"""
WORKER += """
import json, sys, threading
from streamzarr.pipeline import Batcher, Pipeline, Processors, TopicSource

class Loaded(Pipeline):
    processors = Processors(concurrency=4)
    batchers = {"default": Batcher(size=20, timeout=0.05, concurrency=2)}
    drain = DRAIN

    def handle_message(self, message, context):
        threading.Event().wait(0.002)
        return message

    def handle_batch(self, batcher, messages, info, context):
        threading.Event().wait(0.01)
        sys.stdout.write("".join(message.value.decode() + chr(10) for message in messages))
        sys.stdout.flush()
        return messages

url, topic, group = sys.argv[1:]
report = Loaded.run(
    source=TopicSource(url, topics=[topic], group=group), install_signal_handlers=True
)
print("report " + json.dumps({name: getattr(report, name) for name in report.__slots__}))
"""


@pytest.mark.timeout(120 + 60 * TRIES)
def test_a_signal_under_load_ends_in_time_and_the_report_is_right(place):
    topic = place.topic("in", partitions=2)
    for partition in range(2):
        place.fill(topic, [b"%d-%d" % (partition, n) for n in range(400 * TRIES)], partition)
    stored = []
    for number in range(TRIES):
        command = [sys.executable, "-c", WORKER, place.broker.url, topic, place.group]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            lines = [process.stdout.readline() for _ in range(20 + 13 * (number % 7))]
            process.send_signal(signal.SIGTERM)
            rest = process.stdout.read()
            process.wait(PATIENCE)
        assert process.returncode == 0
        *more, last = [line.strip() for line in [*lines, *rest.splitlines()] if line.strip()]
        report = json.loads(last.removeprefix("report "))
        assert report["seconds"] < 60 + DRAIN
        assert report["left"] == 0
        assert report["delivered"] == report["ok"] + report["handed_back"]
        assert report["ok"] == len(more)
        stored += more
    assert len(stored) == len(set(stored)), "what was done once was done again"
