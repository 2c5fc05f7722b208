"""Messages of the job topics: what is written is read back, and nothing else is accepted."""

import msgspec
import pytest

from streamzarr.errors import LimitExceededError, MessageError
from streamzarr.jobs.wire import (
    Cancelled,
    Layout,
    Results,
    Stage,
    Submitted,
    Task,
    Written,
    decode_event,
    decode_results,
    decode_stage,
    decode_task,
    encode,
)

LAYOUT = Layout((4,), (2,), "<f4", 3, msgspec.Raw(b'{"codecs":[]}'))
STAGE = Stage("map", "file:///a", "file:///b", LAYOUT, transform="celsius", params={"offset": -1.5})
TASK = Task(1, "01J", 7, (3, 0), msgspec.Raw(encode(STAGE)))


def test_a_task_survives_the_wire():
    task = decode_task(encode(TASK))
    assert (task.job, task.task, task.chunk) == ("01J", 7, (3, 0))
    assert decode_stage(task.stage) == STAGE


def test_results_and_events_survive_the_wire():
    results = Results("01J", "w", written=(Written(1, 2, 3),))
    assert decode_results(encode(results)) == results
    submitted = Submitted("01J", "map", (STAGE,), 5, 6)
    assert decode_event(encode(submitted)) == submitted
    assert decode_event(encode(Cancelled("01J"))) == Cancelled("01J")


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        b"not json",
        b"[]",
        b"{}",
        b'{"v":2,"job":"j","task":0,"chunk":[0],"stage":{}}',
        b'{"v":1,"job":"j","task":"0","chunk":[0],"stage":{}}',
        b'{"v":1,"job":"j","task":0,"chunk":[0],"stage":{},"run":"os.system"}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_anything_else_is_a_message_error(data):
    with pytest.raises(MessageError, match="not a chunk task"):
        decode_task(data)


def test_a_huge_task_is_refused_before_it_is_parsed():
    with pytest.raises(LimitExceededError, match="2000000 bytes"):
        decode_task(b" " * 2_000_000)


def test_a_stage_with_an_unknown_operation_is_refused():
    with pytest.raises(MessageError, match="stage"):
        decode_stage(encode(STAGE).replace(b'"map"', b'"exec"'))
