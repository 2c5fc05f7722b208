"""Handlers in processes of their own."""

import os

import pytest

from streamzarr import flow
from streamzarr.errors import ConfigError, ProcessDiedError, StreamzarrError
from streamzarr.pipeline import Pipeline, Processors
from streamzarr.testing import start
from tests.support.heavy_pipelines import Closing, Heavy, NoWayBack, Unmade
from tests.support.ids import stable
from tests.support.pipelines import PATIENCE


@pytest.fixture(scope="module")
def heavy():
    with start(Heavy) as pipeline:
        yield pipeline


def test_messages_are_handled_in_other_processes(heavy):
    acks = heavy.test_batch(range(100), timeout=PATIENCE)
    assert [ack.data[0] for ack in acks] == list(range(100))
    pids = {ack.data[1] for ack in acks}
    assert os.getpid() not in pids


def test_a_message_that_kills_its_process_fails_alone_and_the_process_is_replaced(heavy):
    acks = heavy.test_batch([1, "die", "fail"], timeout=PATIENCE)  # several processes begin anew
    assert [ack.acked for ack in acks] == [True, False, False]
    assert isinstance(acks[1].failed.error, ProcessDiedError)
    assert (acks[1].failed.stage, acks[2].failed.stage) == ("handle_message", "handle_message")
    assert heavy.test_message(4, timeout=PATIENCE).acked


def test_transient_errors_are_tried_again_there(heavy):
    assert heavy.test_message("flaky", timeout=PATIENCE).acked


def test_an_error_that_cannot_travel_is_told_in_words(heavy):
    assert "Unsendable" in str(heavy.test_message("lambda", timeout=PATIENCE).failed.error)


@pytest.mark.parametrize("data", ["function", "no way back", NoWayBack(), lambda: None], ids=stable)
def test_data_that_cannot_travel_fails_its_message_alone(heavy, data):
    acks = heavy.test_batch([1, data, 2], timeout=PATIENCE)
    assert [ack.acked for ack in acks] == [True, False, True]


def test_what_fails_after_its_acknowledgement_in_another_process_stays_acknowledged(heavy):
    late, early = heavy.test_batch(["ack and fail", "fail and ack"], timeout=PATIENCE)
    assert late.acked
    assert str(early.failed.error) == "bad"


def test_a_context_that_cannot_be_made_in_another_process_fails_no_message():
    pipeline = Unmade.start(source=lambda demand: flow.from_iterable([1], demand))
    with pytest.raises(
        StreamzarrError, match="Unmade cannot be made in another process: RuntimeError: no data"
    ):
        pipeline.wait(PATIENCE)


def test_an_acknowledgement_in_another_process_is_one_here(heavy):
    assert heavy.test_message("ack", timeout=PATIENCE).acked


def test_how_to_acknowledge_is_checked_by_the_real_acknowledger():
    chain = lambda demand: flow.from_iterable(["skip", "odd"], demand)  # noqa: E731
    assert Heavy.run(source=chain).failed == 2


def test_a_pipeline_that_others_cannot_find_is_told():
    class Local(Pipeline):
        processors = Processors(kind="processes")

    with pytest.raises(ConfigError, match="expected a class at the top of a module"):
        Local.run(source=lambda demand: flow.from_iterable([1], demand))


def test_each_process_closes_its_context_when_it_ends_and_none_that_dies(tmp_path, monkeypatch):
    monkeypatch.setenv("PIPE_FOLDER", str(tmp_path))
    with start(Closing) as pipeline:
        dead = pipeline.test_message("die", timeout=PATIENCE)
        acks = pipeline.test_batch(range(50), timeout=PATIENCE)
        assert not list(tmp_path.iterdir())
    assert isinstance(dead.failed.error, ProcessDiedError)
    closed = {int(file.name): file.read_text() for file in tmp_path.iterdir()}
    assert {ack.data[1] for ack in acks} <= closed.keys() - {os.getpid()}
    assert closed[os.getpid()] == "closed\n"  # of the one where batches are handled
    assert set(closed.values()) == {"closed\n"}
