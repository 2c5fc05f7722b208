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
    numbers_of,
    run_of,
)

LAYOUT = Layout((4,), (2,), "<f4", 3, msgspec.Raw(b'{"codecs":[]}'))
STAGE = Stage("map", "file:///a", "file:///b", LAYOUT, transform="celsius", params={"offset": -1.5})
TASK = Task(1, "01J", 7, (3, 0), msgspec.Raw(encode(STAGE)))


def test_a_task_survives_the_wire():
    task = decode_task(encode(TASK))
    assert (task.job, task.task, task.chunk) == ("01J", 7, (3, 0))
    assert decode_stage(task.stage) == STAGE


def test_results_tell_of_single_chunks_as_before_and_of_runs():
    old = b'{"job":"01J","worker":"w","written":[[1,2,3]],"skipped":[4,9],"replayed":[5]}'
    results = decode_results(old)
    assert (results.skipped, [written.numbers for written in results.written]) == ((4, 9), [range(1, 2)])
    runs = tuple(map(run_of, (range(4, 5), range(8, 72))))
    results = decode_results(encode(Results("01J", "w", skipped=runs, replayed=runs)))
    assert (
        list(map(numbers_of, results.skipped))
        == [range(4, 5), range(8, 72)]
        == list(map(numbers_of, results.replayed))
    )


@pytest.mark.parametrize("run", ["[1]", "[1,0]", "[1,65537]", "[1,2,3]", '"1"', "1.5", "null"])
def test_results_with_anything_else_for_a_run_are_refused(run):
    with pytest.raises(MessageError, match="not a results record"):
        decode_results(b'{"job":"01J","worker":"w","skipped":[%s]}' % run.encode())


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


@pytest.mark.parametrize("block", [[2, 2], [65_537]])
def test_a_block_that_no_task_can_have_is_refused_in_tasks_and_registrations(block):
    stage = msgspec.json.decode(encode(STAGE)) | {"block": block}
    with pytest.raises(MessageError, match="a block of"):
        decode_stage(msgspec.json.encode(stage))
    submitted = msgspec.json.decode(encode(Submitted("01J", "map", (STAGE,), 5, 6))) | {"stages": [stage]}
    with pytest.raises(MessageError, match="a block of"):
        decode_event(msgspec.json.encode(submitted))
