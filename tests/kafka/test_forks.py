"""What a fork does to clients: a child makes its own and leaves those of its parent alone."""

import gc
import multiprocessing
import subprocess
import sys
import time

import pytest

from streamzarr.errors import QueueError
from streamzarr.queue import NewRecord
from streamzarr.queue.base import TopicPartition

pytestmark = pytest.mark.kafka

PATIENCE = 60.0
FORKS = 40


def take(reader, count):
    records = []
    deadline = time.monotonic() + PATIENCE
    while len(records) < count:
        assert time.monotonic() < deadline, f"got {len(records)} of {count}"
        records += reader.poll(count - len(records), 0.2)
    return records


def in_fork(function):
    """Run `function` in a forked child, which then ends as Python programs do; return its exit code."""

    def run():
        gc.freeze()  # what other tests have left behind is not collected
        function()

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join(PATIENCE)
    if process.is_alive():
        process.kill()
        process.join()
    return process.exitcode


def test_a_broker_and_a_producer_work_on_in_a_forked_child(broker, topic):
    producer = broker.producer()
    producer.send(topic, [NewRecord(b"parent", partition=0)])
    producer.flush()

    def child():
        assert broker.describe(topic).end == {0: 1, 1: 0}
        producer.send(topic, [NewRecord(b"child", partition=0)])
        producer.close()

    assert in_fork(child) == 0
    producer.send(topic, [NewRecord(b"parent again", partition=0)])
    producer.close()
    with broker.reader(topic) as reader:
        assert [record.value for record in take(reader, 3)] == [b"parent", b"child", b"parent again"]


def test_a_consumer_belongs_to_the_process_that_made_it(broker, topic, group):
    with broker.producer() as producer:
        producer.send(topic, [NewRecord(b"%d" % n, partition=n % 2) for n in range(10)])
    with broker.consumer([topic], group) as consumer, broker.reader(topic) as reader:
        take(consumer, 10)

        def child():
            for each in (consumer, reader):
                with pytest.raises(QueueError, match="belongs to process"):
                    each.poll(1, 0.1)
            consumer.close()  # leaves the group to the parent
            reader.close()

        assert in_fork(child) == 0
        consumer.commit({TopicPartition(topic, 0): 5})


def test_forked_children_that_throw_clients_of_all_states_away_end_well(kafka_broker_url):
    """In a process of its own, where all clients are those of the program."""
    command = [sys.executable, "-m", "tests.support.forking", kafka_broker_url, str(FORKS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=4 * PATIENCE)
    assert done.returncode == 0, done.stderr


def test_a_program_that_forks_ends(kafka_broker_url, topic):
    program = f"""
import os, sys
from streamzarr.queue import NewRecord, open_broker
broker = open_broker({kafka_broker_url!r})
consumer = broker.consumer([{topic!r}], "forking-{topic}")
consumer.poll(1, 0.1)
producer = broker.producer()
pid = os.fork()
if pid:
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    consumer.close()
    producer.close()
    sys.exit(code)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_nothing_is_printed_and_no_thread_starts_before_use(kafka_broker_url, topic):
    program = f"""
import threading
from pathlib import Path
from streamzarr.queue import NewRecord, open_broker
broker = open_broker("kafka://127.0.0.1:1")
assert threading.active_count() == 1
assert len(list(Path("/proc/self/task").iterdir())) == 1, "librdkafka's threads do not count as Python's"
unreachable = open_broker("kafka://127.0.0.1:1?request_timeout=0.3")
for call in (unreachable.topics, lambda: unreachable.create_topic("t"), lambda: unreachable.reader("t")):
    try:
        call()
    except Exception as error:
        assert "not reached" in str(error)
broker = open_broker({kafka_broker_url!r})
with broker.producer() as producer:
    producer.send({topic!r}, [NewRecord(b"x")])
with broker.reader({topic!r}) as reader:
    assert reader.poll(1, 10.0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
