"""A running pipeline: looked at, steered, stopped; and what it tells of itself."""

import json
import threading
from typing import get_args

import pytest

from streamzarr.errors import ConfigError
from streamzarr.flow import Rate
from streamzarr.pipeline import Batcher, Pipeline, Processors, telemetry
from streamzarr.pipeline.telemetry import EVENTS, SpanName
from streamzarr.runtime import SystemRuntime
from streamzarr.testing import DummySource, start
from tests.support.pipelines import until


class Stored(Pipeline):
    batchers = {"default": Batcher(size=10, timeout=0.05)}


def test_topology_tells_of_each_stage_as_json():
    class Picky(Stored):
        def handle_message(self, message, context):
            return message.fail("odd") if message.data % 2 else message

    with start(Picky) as pipeline:
        pipeline.test_batch(range(20))
        pipeline.running.barrier(20)
        found = json.loads(json.dumps(pipeline.running.topology()))
    processors, default = found.pop("stages")
    assert (found["name"], found["state"], found["ordering"]) == ("Picky", "running", "none")
    assert (found["in_flight"], found["max_in_flight"]) == (0, 1020)
    assert (processors["name"], processors["done"], processors["failed"]) == ("processors", 10, 10)
    assert (default["name"], default["done"], default["failed"], default["at_work"]) == ("default", 10, 0, 0)
    assert 0 <= processors["workload"] <= 1
    assert pipeline.running.topology()["state"] == "ended"


def test_a_pause_lets_nothing_in_until_it_is_over():
    with start(Stored) as pipeline:
        pipeline.test_message(1)
        pipeline.running.pause()
        assert pipeline.running.topology()["state"] == "paused"
        with pytest.raises(TimeoutError):
            pipeline.test_message(2, timeout=0.2)
        pipeline.running.resume()
        assert pipeline.test_message(3).acked


def test_more_workers_begin_while_it_runs_and_fewer_stay():
    together = threading.Barrier(4)

    class Wide(Pipeline):
        processors = Processors(concurrency=1)

        def handle_message(self, message, context):
            if message.data == "together":
                together.wait(20)
            return message

    with start(Wide) as pipeline:
        pipeline.test_batch(range(10))
        pipeline.running.resize("processors", 4)
        assert all(ack.acked for ack in pipeline.test_batch(["together"] * 8))
        pipeline.running.resize("processors", 1)
        assert pipeline.test_message(1).acked
        assert pipeline.running.topology()["stages"][0]["concurrency"] == 1
        with pytest.raises(ConfigError, match="name is 'nobody', expected one of 'processors'"):
            pipeline.running.resize("nobody", 2)


def test_a_batcher_gets_more_workers_while_it_runs():
    together = threading.Barrier(2)

    class Beside(Pipeline):
        batchers = {"default": Batcher(size=1)}

        def handle_batch(self, batcher, messages, info, context):
            if messages[0].data == "together":
                together.wait(20)
            return messages

    with start(Beside) as pipeline:
        pipeline.test_message(1)
        pipeline.running.resize("default", 2)
        assert all(ack.acked for ack in pipeline.test_batch(["together"] * 4))


def test_the_rate_is_changed_while_it_runs():
    with start(Stored, rate=Rate(messages=0.01)) as pipeline:
        assert pipeline.test_message(1).acked  # what may pass at once
        with pytest.raises(TimeoutError):
            pipeline.test_message(2, timeout=0.2)
        pipeline.running.set_rate()
        assert pipeline.test_message(3).acked
        pipeline.running.set_rate(messages=1_000_000, bytes="1GB")
        assert pipeline.test_message(4).acked


def test_a_stop_finishes_what_has_begun_and_hands_back_the_rest():
    begun, release = threading.Event(), threading.Event()

    class Slow(Pipeline):
        processors = Processors(concurrency=1)

        def handle_message(self, message, context):
            begun.set()
            release.wait(20)
            return message

    source = DummySource()
    pipeline = Slow.start(source=source)
    source.push(range(10))
    assert begun.wait(20)
    pipeline.request_stop(20)
    assert pipeline.topology()["state"] == "draining"
    until(lambda: pipeline.topology()["in_flight"] == 1)
    release.set()
    report = pipeline.wait(20)
    assert report.delivered == report.ok + report.handed_back
    assert (report.ok, report.left) == (1, 0)


def test_what_does_not_end_in_time_is_left_and_told():
    begun, release = threading.Event(), threading.Event()

    class Stuck(Pipeline):
        processors = Processors(concurrency=1)

        def handle_message(self, message, context):
            begun.set()
            release.wait(60)
            return message

    source = DummySource()
    pipeline = Stuck.start(source=source)
    source.push(range(5))
    assert begun.wait(20)
    report = pipeline.stop(drain=0.1)
    release.set()
    assert (report.left, report.ok) == (1, 0)
    assert report.delivered == report.left + report.handed_back


class Scarce(SystemRuntime):
    """Lets a few threads of processors begin."""

    def __init__(self, threads):
        super().__init__()
        self.left = threads

    def thread(self, target, name):
        thread = super().thread(target, name)
        if "processors" in name:
            self.left -= 1
            if self.left < 0:
                thread.start = self.refuse
        return thread

    def refuse(self):
        raise RuntimeError("can't start new thread")


def test_more_workers_than_the_machine_lets_begin_are_as_many_as_it_does():
    with start(Pipeline, runtime=Scarce(6)) as pipeline:
        assert pipeline.test_message(1).acked
        pipeline.running.resize("processors", 1_000_000)
        assert all(ack.acked for ack in pipeline.test_batch(range(20)))
        assert pipeline.running.topology()["stages"][0]["concurrency"] == 6


def test_a_pipeline_that_breaks_raises_where_it_is_waited_for():
    class Broken(Pipeline):
        def handle_message(self, message, context):
            raise ValueError("broken")

    source = DummySource()
    pipeline = Broken.start(source=source)
    source.push([1])
    until(lambda: pipeline.ended)
    with pytest.raises(Exception, match="failed in handle_message: ValueError: broken"):
        pipeline.wait()


# -- telemetry -------------------------------------------------------------------------------------------


@pytest.fixture
def events():
    found = []
    telemetry.attach("test", EVENTS, found.append)
    yield found
    telemetry.detach("test")


class Telling(Stored):
    def handle_message(self, message, context):
        if message.data == "bad":
            raise ValueError("bad")
        return message

    def handle_batch(self, batcher, messages, info, context):
        if any(message.data == "worse" for message in messages):
            raise KeyError("worse")
        return messages

    def handle_failed(self, messages, context):
        return messages


def test_each_stage_message_and_batch_has_its_events(events):
    with start(Telling) as pipeline:
        pipeline.test_batch(["good", "bad", "worse"])
    names = [event.name.removeprefix("streamzarr.pipeline.") for event in events]
    assert names[0] == "init"
    for span in get_args(SpanName):
        span = span.removeprefix("streamzarr.pipeline.")
        ended = names.count(f"{span}.stop") + names.count(f"{span}.exception")
        assert names.count(f"{span}.start") == ended > 0
    assert names.count("processor.message.exception") == 1
    assert names.count("batch_processor.exception") == 2  # the batch of two, and the bad one alone
    assert names.count("handle_failed.stop") >= 1
    failed = next(event for event in events if event.name.endswith("message.exception"))
    assert isinstance(failed.metadata["error"], ValueError)
    assert failed.metadata["pipeline"] == "Telling"
    assert failed.measurements["duration"] >= 0


def test_a_listener_that_raises_is_detached_and_nothing_else_happens():
    calls = []

    def listen(event):
        calls.append(event)
        raise RuntimeError("no more")

    telemetry.attach("broken", ["streamzarr.pipeline.processor.message.stop"], listen)
    with start(Stored, processors=Processors(concurrency=1)) as pipeline:
        assert all(ack.acked for ack in pipeline.test_batch(range(10)))
    assert len(calls) == 1


@pytest.mark.parametrize("events", ["streamzarr.pipeline.init", ["streamzarr.pipeline.end"]])
def test_an_event_that_there_is_not_is_told(events):
    with pytest.raises(ConfigError, match="expected names out of EVENTS"):
        telemetry.attach("test", events, print)


def test_the_catalogue_has_three_events_for_each_span():
    spans = {f"{span}.{what}" for span in get_args(SpanName) for what in ("start", "stop", "exception")}
    others = {"init", "rebalance", "partition.paused", "partition.resumed"}
    assert set(EVENTS) - spans == {f"streamzarr.pipeline.{name}" for name in others}
