"""A broker that is stopped and started again under a running chain: three lines, not three hundred."""

import logging
import threading
import time
import uuid

from streamzarr.flow import Demand, Stop, from_topic, ops, run
from streamzarr.queue import open_broker
from streamzarr.queue.base import NewRecord


def test_a_broker_that_goes_away_is_a_line_and_one_when_it_is_back(kafka_process, caplog):
    topic = f"topic-{uuid.uuid4().hex[:12]}"
    caplog.set_level(logging.WARNING)
    stop, seen = Stop(), threading.Event()

    def work():
        with open_broker(kafka_process.url) as broker, broker.producer() as producer:

            def store(messages):
                producer.send(f"{topic}.out", [NewRecord(message.data) for message in messages])
                producer.flush()
                seen.set()

            chain = from_topic(broker, topic, group=topic, demand=Demand(8), session_timeout=30.0)
            run(chain.pipe(ops.settle(store, contact=broker.contact)), stop=stop)

    with open_broker(kafka_process.url) as broker:
        for name in (topic, f"{topic}.out"):
            broker.create_topic(name, exist_ok=True)
        worker = threading.Thread(target=work)
        worker.start()
        try:
            _send(broker, topic)
            assert seen.wait(60)
            caplog.clear()
            kafka_process.stop()
            _until(lambda: _lines(caplog))
            until = time.monotonic() + 5.0
            _until(lambda: time.monotonic() > until)  # some hundred attempts of three clients
        finally:
            kafka_process.start()
        seen.clear()
        _send(broker, topic)
        assert seen.wait(60)
        _until(lambda: any("reached again" in line for line in _lines(caplog)))
        stop.drain(10.0)
        worker.join(60)
    lines = [line for line in _lines(caplog) if "cannot be reached" in line]
    assert 1 <= len(lines) <= 2, lines  # the worker's broker, and the one of this test
    assert len(_lines(caplog)) <= 4


def _send(broker, topic):
    with broker.producer() as producer:
        producer.send(topic, [NewRecord(b"1")])
        producer.flush()


def _lines(caplog):
    return [record.getMessage() for record in caplog.records if record.name.startswith("streamzarr")]


def _until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "condition not reached"
        threading.Event().wait(0.05)
