"""The register, compacted at any time, beside anybody, broken off anywhere: it says what it said before."""

from contextlib import suppress
from dataclasses import dataclass, field

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from streamzarr.jobs.compact import compact
from streamzarr.jobs.known import KnownJobs
from streamzarr.jobs.register import Unwanted, fold_records, read_known
from streamzarr.jobs.topics import JobTopics
from streamzarr.jobs.wire import (
    Cancelled,
    Ended,
    Forgotten,
    Layout,
    Resumed,
    Stage,
    Submitted,
    decode_notice,
    encode,
)
from streamzarr.limits import Limits
from streamzarr.queue.base import Record, TopicInfo, TopicPartition
from streamzarr.runtime import SYSTEM

TOPICS = JobTopics("t")
LAYOUT = Layout((4,), (2,), "<f4", 3, msgspec.Raw(b"[]"))
STAGE = Stage("copy", "file:///a", "file:///b", LAYOUT, params={"x": 1})
JOBS = "ABCD"


def submitted(job, **changes):
    return msgspec.structs.replace(Submitted(job, "copy", (STAGE,), 0, 0), **changes)


def ended(job, state):
    return Ended(job, state, 2, 0, 0, 8, 5)


events = st.sampled_from(
    [
        make(job)
        for job in JOBS
        for make in (
            submitted,
            Cancelled,
            Resumed,
            lambda job: ended(job, "done"),
            lambda job: ended(job, "incomplete"),
            Forgotten,
        )
    ]
)


class Crash(BaseException):
    pass


@dataclass
class Broker:
    """Topics of one partition in memory; before each operation others may write, or we die."""

    url = "memory"
    runtime = SYSTEM
    log: list[bytes] = field(default_factory=list)
    begin: int = 0
    meanwhile: list = field(default_factory=list)
    """For each operation the events that others write before it; None is a crash."""

    def step(self):
        for event in [] if not self.meanwhile else [*self.meanwhile.pop(0)]:
            if event is None:
                raise Crash
            self.log.append(encode(event))

    def topics(self):
        return [TOPICS.jobs, TOPICS.results]

    def describe(self, topic):
        self.step()
        there = topic == TOPICS.jobs
        return TopicInfo(topic, {0: self.begin if there else 0}, {0: len(self.log) if there else 0})

    def trim(self, topic, before):
        self.step()
        self.begin = max(self.begin, before[0])

    def reader(self, topic, start):
        return Reader(self, topic, start[0])

    def producer(self):
        return Producer(self)


class Producer:
    def __init__(self, broker):
        self.broker = broker

    def send(self, topic, records):
        for record in records:
            self.broker.step()
            self.broker.log.append(record.value)

    def flush(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class Reader:
    def __init__(self, broker, topic, at):
        assert at >= broker.begin
        self.broker, self.topic, self.at = broker, topic, at

    def poll(self, most, timeout, max_bytes=None):
        found = records(self.broker, self.at)
        self.at = len(self.broker.log)
        return found

    def positions(self):
        return {TopicPartition(self.topic, 0): self.at}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def records(broker, start):
    return [
        Record(TOPICS.jobs, 0, offset, None, value, (), 0)
        for offset, value in enumerate(broker.log)
        if offset >= start
    ]


def originals(broker):
    """Everything that anybody but a compaction ever wrote."""
    known = KnownJobs()
    gone = set()
    for record in records(broker, 0):
        event = msgspec.json.decode(record.value)
        if event["type"] in ("snapshot", "trimmed") or event.get("copy"):
            continue
        before = set(known.entries)
        fold_records(known, [record])
        gone |= before - set(known.entries)
        gone -= set(known.entries)
    return known.entries, gone


def follow(unwanted, broker, start):
    for record in records(broker, max(start, broker.begin)):
        unwanted.fold(record.offset, decode_notice(record.value))


def check(broker, left_out, watcher, since):
    entries, gone = originals(broker)
    known = read_known(broker, TOPICS).jobs()
    left_out |= {id_ for id_, entry in entries.items() if entry.done and id_ not in known}
    assert set(known) == set(entries) - left_out
    for id_, entry in known.items():
        assert (entry.cancelled, entry.ended) == (entries[id_].cancelled, entries[id_].ended)
        assert entry.offset >= broker.begin
        assert msgspec.json.decode(broker.log[entry.offset])["job"] == id_
    fresh = Unwanted()
    follow(fresh, broker, 0)
    follow(watcher, broker, since)
    for unwanted in (fresh, watcher):
        for id_ in entries:
            assert (id_ in unwanted) == (not entries[id_].wanted)
        for id_ in gone:
            assert id_ in unwanted


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(events, max_size=8),
            st.lists(st.lists(st.one_of(events, st.none()), max_size=1), max_size=20),
            st.booleans(),
        ),
        max_size=4,
    ),
    st.integers(0, 2),
)
def test_a_compacted_register_says_what_it_said_before(rounds, keep):
    """Each round: some events, then a compaction with events of others, and crashes, between its steps."""
    broker, left_out = Broker(), set()
    watcher, since = Unwanted(), 0
    submissions = set()
    for before, meanwhile, watched in rounds:
        # An id is new when a job is submitted: it comes once in the life of a register.
        def fresh(event):
            if isinstance(event, Submitted):
                if event.job in submissions:
                    return False
                submissions.add(event.job)
            return event is None or isinstance(event, Submitted) or event.job in submissions

        broker.log += [encode(event) for event in before if fresh(event)]
        broker.meanwhile = [[event for event in step if fresh(event)] for step in meanwhile]
        with suppress(Crash):
            compact(broker, TOPICS, keep=keep, slack=-100)
        for step in broker.meanwhile:  # what did not come between comes behind
            broker.log += [encode(event) for event in step if event is not None]
        broker.meanwhile = []
        if watched:
            follow(watcher, broker, since)
            since = len(broker.log)
    check(broker, left_out, watcher, since)


def test_a_register_of_large_registrations_takes_bounded_memory():
    known = KnownJobs(Limits(max_register_bytes=100_000))
    stage = msgspec.structs.replace(STAGE, params={"x": "y" * 100_000})
    for number in range(2000):
        known.fold(number, submitted(f"J{number:04}", stages=(stage,) * 8))
    assert 10 < len(known.entries) < 100
    assert list(known.entries)[-1] == "J1999"
    assert known._nbytes <= 100_000
    assert all(entry.submitted.stages[0].params == {} for entry in known.entries.values())


def test_a_worker_keeps_a_bounded_number_of_jobs_that_are_over():
    unwanted = Unwanted(Limits(max_jobs=10))
    for number in range(1000):
        unwanted.fold(number, Cancelled(f"J{number:04}"))
    assert len(unwanted._over) == 10
    assert "J0999" in unwanted


def test_a_snapshot_that_does_not_lie_where_it_says_is_passed_over():
    known = KnownJobs()
    known.fold(0, submitted("A"))
    forged = KnownJobs().snapshot(7)
    known.fold(1, forged)
    assert list(known.entries) == ["A"]
    known.fold(7, forged)
    assert known.entries == {}
