"""Every dead letter says which task of which job it is, and where its message lies."""

import asyncio
import errno

import msgspec
import pytest

from streamzarr.errors import SourceChangedError, StoreError, name_of
from streamzarr.flow import Message, ops
from streamzarr.jobs.bookkeeper import Bookkeeper
from streamzarr.jobs.outcome import Work
from streamzarr.jobs.topics import JobTopics
from streamzarr.jobs.wire import (
    Dead,
    Layout,
    Stage,
    Task,
    Written,
    decode_results,
    decode_task,
    encode,
    headers_of,
    task_of,
)
from streamzarr.limits import DEFAULT_LIMITS
from streamzarr.queue.base import Record
from streamzarr.queue.deadletter import CUT_HEADER, DeadLetter

TOPICS = JobTopics("t")
WORK = Work(Task(1, "01M7", 12, (3,), msgspec.Raw(b"{}")), b"0" * 16)


def entered_alone(record, data, error):
    sent = {}
    keeper = Bookkeeper(
        TOPICS, "w", lambda topic, records: sent.setdefault(topic, []).extend(records), lambda: None
    )
    keeper([Message(record, data=data).fail(error, "execute", 2)])
    [new], [result] = sent[TOPICS.dead], sent[TOPICS.results]
    letter = DeadLetter.from_record(Record(TOPICS.dead, 0, 0, new.key, new.value, new.headers, new.timestamp))
    return letter, decode_results(result.value)


def record(value=b"{}", headers=()):
    return Record(TOPICS.tasks, 3, 41, b"k", value, headers, 5)


@pytest.mark.parametrize(
    ("sent", "data"),
    [
        (record(headers=headers_of("01M7", range(12, 13))), WORK),
        (record(headers=headers_of("01M7", range(12, 13))), b"{}"),  # could not be decoded
        (record(), WORK),  # without headers
        (record(headers=headers_of("OTHER", range(1, 2))), WORK),  # the task itself knows better
        (record(b"x" * (DEFAULT_LIMITS.max_task_bytes + 1), headers_of("01M7", range(12, 13))), b"cut"),
    ],
    ids=["whole", "undecodable", "no headers", "wrong headers", "cut"],
)
@pytest.mark.parametrize("error", [ValueError("no"), asyncio.CancelledError()])
def test_a_letter_carries_origin_job_and_task(sent, data, error):
    letter, results = entered_alone(sent, data, error)
    assert (letter.topic, letter.partition, letter.offset) == (TOPICS.tasks, 3, 41)
    assert task_of(letter.headers) == ("01M7", range(12, 13))
    assert (CUT_HEADER in dict(letter.headers)) == (data == b"cut")
    assert (results.job, [(dead.task, dead.attempts, dead.error) for dead in results.dead]) == (
        "01M7",
        [(12, 2, type(error).__name__)],
    )


def test_a_letter_of_a_task_as_it_was_sent_is_unchanged():
    sent = record(headers=(("other", b"1"), *headers_of("01M7", range(12, 13))))
    letter, _ = entered_alone(sent, WORK, ValueError("no"))
    assert (letter.headers, letter.value, letter.key, letter.timestamp) == (sent.headers, b"{}", b"k", 5)


# -- tasks of many chunks

STAGE = Stage("copy", "a", "b", Layout((8, 8), (2, 2), "<i4", 3, msgspec.Raw(b"[]")), block=(2, 2))
BLOCK = Task(1, "01M7", 104, (0, 2), msgspec.Raw(encode(STAGE)), 4)


def worked(task=BLOCK, attempts=1, **ends):
    """A task of which the chunks have ended like this; what is not named is left."""
    work = Work(task, b"0" * 16)
    for _ in range(attempts):
        work.outcome.begin()
    for name, end in ends.items():
        work.outcome.tell(int(name[1:]), end)
    return work


def entered(*messages):
    """Enter them; return the dead letters and the results."""
    sent = {TOPICS.dead: [], TOPICS.results: []}
    calls = []

    def send(topic, records):
        calls.append(topic)
        sent[topic] += records

    Bookkeeper(TOPICS, "w", send, lambda: calls.append("flush"))(messages)
    assert calls == sorted(calls, key=[TOPICS.dead, TOPICS.results, "flush"].index)
    letters = [
        DeadLetter.from_record(Record(TOPICS.dead, 0, 0, new.key, new.value, new.headers, new.timestamp))
        for new in sent[TOPICS.dead]
    ]
    return letters, [decode_results(new.value) for new in sent[TOPICS.results]]


def whole():
    return record(encode(BLOCK), (("other", b"1"), *headers_of("01M7", BLOCK.numbers)))


def test_what_is_written_of_a_task_is_one_entry():
    letters, [results] = entered(Message(whole(), data=worked(_104=16, _106=16, _105=16, _107=16)))
    assert (letters, results.dead, results.skipped) == ([], (), ())
    assert results.written == (Written(104, 1, 64, 4),)


def test_chunks_with_other_attempts_are_other_entries():
    work = worked(_104=16, _106=16)
    work.outcome.begin()
    work.outcome.tell(105, 16)
    work.outcome.tell(107, 16)
    _, [results] = entered(Message(whole(), data=work))
    assert [(run.task, run.count, run.attempts) for run in results.written] == [
        (104, 1, 1),
        (105, 1, 2),
        (106, 1, 1),
        (107, 1, 2),
    ]


def test_what_neither_was_written_nor_failed_was_skipped():
    _, [results] = entered(Message(whole(), data=worked(_105=16)))
    assert (results.written, results.skipped) == ((Written(105, 1, 16),), (104, (106, 2)))


def test_each_chunk_that_failed_leaves_a_letter_that_is_a_task_for_it_alone():
    work = worked(_104=ValueError("four"), _105=16, _106=KeyError("six"), _107=ValueError("seven"))
    letters, [results] = entered(Message(whole(), data=work, attempts=1))
    assert [task_of(letter.headers)[1] for letter in letters] == [range(n, n + 1) for n in (104, 106, 107)]
    assert [letter.message for letter in letters] == ["four", "'six'", "seven"]
    assert {letter.stage for letter in letters} == {"execute"}
    tasks = [decode_task(letter.value) for letter in letters]
    assert [(task.task, task.chunk, task.count) for task in tasks] == [
        (104, (0, 2), 1),
        (106, (1, 2), 1),
        (107, (1, 3), 1),
    ]
    assert {bytes(task.stage) for task in tasks} == {bytes(BLOCK.stage)}
    assert [dict(letter.headers)["other"] for letter in letters] == [b"1"] * 3
    assert len({letter.origin for letter in letters}) == 3
    assert [(dead.task, dead.count, dead.error) for dead in results.dead] == [
        (104, 1, "ValueError"),
        (106, 1, "KeyError"),
        (107, 1, "ValueError"),
    ]


def test_a_task_that_failed_as_a_whole_leaves_one_letter_as_it_was_sent():
    message = Message(whole(), data=worked()).fail(SourceChangedError("changed"), "execute", 1)
    [letter], [results] = entered(message)
    assert (letter.value, letter.headers, letter.key) == (encode(BLOCK), whole().headers, b"k")
    assert results.dead == (Dead(104, 1, "SourceChangedError", 4),)


def test_what_is_left_when_attempts_are_used_up_is_lost_for_its_own_error():
    passing = TimeoutError("503")
    work = worked(_104=16, _105=passing, _106=TimeoutError("504"), attempts=5)
    letters, [results] = entered(Message(whole(), data=work).fail(passing, "execute", 5))
    found = [(task_of(letter.headers)[1], letter.message, letter.attempts) for letter in letters]
    assert found == [
        (range(105, 106), "503", 5),
        (range(106, 107), "504", 5),
        (range(107, 108), "503", 5),
    ]
    assert results.written == (Written(104, 5, 16),)


@pytest.mark.parametrize(
    "error", [StoreError("403"), PermissionError(errno.EACCES, "no"), OSError(errno.EROFS, "no")]
)
def test_a_task_that_failed_for_want_of_its_store_leaves_nothing_and_its_partition_pauses(error):
    sent = []
    keep = Bookkeeper(TOPICS, "w", lambda topic, records: sent.extend(records), lambda: None)
    broken = Message(whole(), data=worked(_104=16, _105=error, attempts=5)).fail(error, "execute", 5)
    fine = Message(whole(), data=worked(_104=16, _105=16, _106=16, _107=16))
    pause, done = keep([broken, fine])
    assert pause.reason.startswith("task 01M7: ")
    assert name_of(error) in pause.reason
    assert done == ops.DONE
    [results] = map(decode_results, [record.value for record in sent])
    assert (results.written, results.dead) == ((Written(104, 1, 64, 4),), ())


def test_results_and_letters_of_thousands_of_chunks_are_bounded():
    stage = Stage("copy", "a", "b", Layout((9000,), (1,), "<i4", 3, msgspec.Raw(b"[]")), block=(9000,))
    task = Task(1, "01M7", 0, (0,), msgspec.Raw(encode(stage)), 9000)
    work = worked(task)
    for number in range(9000):
        work.outcome.tell(number, ValueError("no"))
    letters, results = entered(Message(record(encode(task), headers_of("01M7", task.numbers)), data=work))
    assert len(letters) == 9000
    assert [len(part.dead) for part in results] == [2000] * 4 + [1000]
    assert decode_task(letters[-1].value).chunk == (8999,)


def test_a_run_of_many_bytes_can_be_read_back():
    work = worked(_104=1 << 33, _105=1 << 33, _106=1 << 33)
    work.outcome.tell(107, 4)
    _, [results] = entered(Message(whole(), data=work))
    assert [(run.task, run.count) for run in results.written] == [(104, 2), (106, 2)]
