"""Every dead letter says which task of which job it is, and where its message lies."""

import asyncio

import msgspec
import pytest

from streamzarr.flow import Message
from streamzarr.jobs.outcome import Work
from streamzarr.jobs.settle import CUT_HEADER, Settler
from streamzarr.jobs.topics import JobTopics
from streamzarr.jobs.wire import Task, decode_results, headers_of, task_of
from streamzarr.limits import DEFAULT_LIMITS
from streamzarr.queue.base import Record
from streamzarr.queue.deadletter import DeadLetter

TOPICS = JobTopics("t")
WORK = Work(Task(1, "01M7", 12, (3,), msgspec.Raw(b"{}")), b"0" * 16)


def settle(record, data, error):
    sent = {}
    settler = Settler(
        TOPICS, "w", lambda topic, records: sent.setdefault(topic, []).extend(records), lambda: None
    )
    settler([Message(record, data).fail(error, "execute", 2)])
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
    letter, results = settle(sent, data, error)
    assert (letter.topic, letter.partition, letter.offset) == (TOPICS.tasks, 3, 41)
    assert task_of(letter.headers) == ("01M7", range(12, 13))
    assert (CUT_HEADER in dict(letter.headers)) == (data == b"cut")
    assert (results.job, [(dead.task, dead.attempts, dead.error) for dead in results.dead]) == (
        "01M7",
        [(12, 2, type(error).__name__)],
    )


def test_a_letter_of_a_task_as_it_was_sent_is_unchanged():
    sent = record(headers=(("other", b"1"), *headers_of("01M7", range(12, 13))))
    letter, _ = settle(sent, WORK, ValueError("no"))
    assert (letter.headers, letter.value, letter.key, letter.timestamp) == (sent.headers, b"{}", b"k", 5)
