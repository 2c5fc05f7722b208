"""Taking messages from librdkafka within bounds of bytes, on random schedules."""

from collections import deque
from types import SimpleNamespace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from streamzarr.queue import Record, TopicPartition
from streamzarr.queue.kafka import fetch
from streamzarr.queue.kafka.config import KafkaConfig
from tests.property.queue.test_columns import Message, size

PLACES = [TopicPartition("t", 0), TopicPartition("t", 1), TopicPartition("u", 0)]
STEP = 8


class Fetched(Message):
    def error(self):
        return None


class Client:
    """librdkafka's queue: `consume` takes the first messages that are not of a paused partition."""

    intake = None

    def __init__(self):
        self.queue = []
        self.paused = set()
        self.largest = 0  # bytes that a call has brought

    def consume(self, count, timeout):
        brought = [message for message in self.queue if message.record[:2] not in self.paused][:count]
        self.queue = [message for message in self.queue if message not in brought]
        self.largest = max(self.largest, sum(size(message.record) for message in brought))
        return brought

    def poll(self, timeout):
        return next(iter(self.consume(1, timeout)), None)


class FetcherModel(RuleBasedStateMachine):
    """The model is what each partition has to give next."""

    @initialize()
    def begin(self):
        self.client = Client()
        self.fetcher = fetch.Fetcher(
            self.client, SimpleNamespace(config=KafkaConfig.parse("kafka://h")), topics=2
        )
        self.fetcher.add(dict.fromkeys(PLACES, 0))
        self.end = dict.fromkeys(PLACES, 0)
        self.due = {place: deque() for place in PLACES}

    @rule(
        place=st.sampled_from(PLACES),
        sizes=st.lists(st.sampled_from([0, 1, 10, 1000]), min_size=1, max_size=12),
    )
    def come(self, place, sizes):
        for nbytes in sizes:
            record = Record(*place, self.end[place], None, bytes(nbytes), (), 0)
            self.end[place] += 1
            self.client.queue.append(Fetched(record))
            self.due[place].append(record)

    @rule(max_records=st.integers(1, 20), max_bytes=st.none() | st.sampled_from([1, 25, 1500, 10**6]))
    def fetch(self, max_records, max_bytes):
        kept = self.waiting()
        self.client.largest = 0
        runs = self.fetcher.fetch(max_records, 0.0, max_bytes)
        records = [record for run in runs for record in run.records()]
        for record in records:
            assert self.due[record[:2]].popleft() == record
        free = [place for place in PLACES if place not in self.fetcher.paused]
        assert records or not any(self.due[place] for place in free), "what is there is returned"
        assert not self.fetcher.paused.intersection(record[:2] for record in records)
        assert len(records) <= max_records
        if max_bytes is not None:
            assert len(records) <= 1 or sum(map(size, records)) <= max_bytes
            held = sum(map(size, records)) + self.waiting()
            assert held <= max(kept, max_bytes + self.client.largest)

    def waiting(self):
        """Bytes that the fetcher holds and may return."""
        return self.fetcher.backlog.without(self.fetcher.paused).nbytes

    @rule()
    def serve(self):
        self.fetcher.serve(0.0)

    @rule(place=st.sampled_from(PLACES))
    def pause_or_resume(self, place):
        self.fetcher.paused ^= {place}
        self.client.paused = set(self.fetcher.paused)

    @precondition(lambda self: any(self.end.values()))
    @rule(place=st.sampled_from(PLACES), data=st.data())
    def seek(self, place, data):
        position = data.draw(st.integers(0, self.end[place]))

        def tell():
            others = (message for message in self.client.queue if message.record[:2] != place)
            again = (Record(*place, n, None, b"again", (), 0) for n in range(position, self.end[place]))
            self.due[place] = deque(again)
            self.client.queue = [*others, *map(Fetched, self.due[place])]

        self.fetcher.seek(place, position, tell)

    @invariant()
    def positions_tell_what_comes_next(self):
        for place in PLACES:
            due = self.due[place]
            assert self.fetcher.positions[place] == (due[0].offset if due else self.end[place])

    @invariant()
    def what_waits_is_counted(self):
        backlog = self.fetcher.backlog
        runs = backlog._runs
        assert backlog.records == sum(map(len, runs))
        assert backlog.nbytes == sum(run.nbytes for run in runs)
        assert backlog.partitions() == {run.where for run in runs}


@pytest.fixture(autouse=True)
def messages_of_ours(monkeypatch):
    monkeypatch.setattr("streamzarr.queue.kafka.columns.Message", Message)
    monkeypatch.setattr("streamzarr.queue.kafka.intake.Message", Fetched)
    monkeypatch.setattr(fetch, "_MAX_STEP", STEP)


class TestFetcher(FetcherModel.TestCase):
    settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
