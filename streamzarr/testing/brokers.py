"""The behaviour of a broker as a pytest class: subclass it, give it a broker, and every test runs by name.

>>> import pytest
>>> from streamzarr.queue import open_broker
>>> class TestMyBroker(BrokerSuite):
...     @pytest.fixture
...     def broker(self, tmp_path):
...         with open_broker(f"sqlite:///{tmp_path}/queue.db") as broker:
...             yield broker

The broker may hold other topics and groups: the tests use new names, and leave them behind. Everything
that takes time on a real cluster is waited for, up to ``patience`` seconds.
"""

# ruff: noqa: D102 - the tests say by their names what they test

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle  # noqa: TID251 - a broker must survive the pickling that multiprocessing does
import signal
from multiprocessing.connection import Connection

import pytest

from streamzarr.errors import FencedError, QueueError, TopicNotFoundError
from streamzarr.queue.base import (
    Broker,
    NewRecord,
    Offsets,
    Record,
    TopicPartition,
)
from streamzarr.testing.broker_atomic import AtomicCases
from streamzarr.testing.broker_bench import Events
from streamzarr.testing.broker_fetching import FetchingCases
from streamzarr.testing.broker_reading import ReadingCases
from streamzarr.testing.broker_writing import WritingCases

__all__ = ["BrokerSuite", "Events"]


class BrokerSuite(WritingCases, ReadingCases, FetchingCases, AtomicCases):
    """Every promise of `streamzarr.queue.base`, as one test each."""

    # ------------------------------------------------------------ topics

    def test_create_and_list_topics(self, broker: Broker) -> None:
        names = sorted(self.new_topic(broker, 1) for _ in range(3))
        listed = broker.topics()
        assert listed == sorted(listed)
        assert [name for name in listed if name in names] == names

    def test_create_twice_is_an_error(self, broker: Broker, topic: str) -> None:
        with pytest.raises(QueueError, match=topic):
            broker.create_topic(topic, 4)

    def test_create_twice_with_exist_ok(self, broker: Broker, topic: str) -> None:
        broker.create_topic(topic, 4, exist_ok=True)
        assert broker.describe(topic).partitions == 4

    def test_exist_ok_does_not_hide_another_number_of_partitions(self, broker: Broker, topic: str) -> None:
        with pytest.raises(QueueError, match=topic):
            broker.create_topic(topic, 5, exist_ok=True)

    def test_describe_an_empty_topic(self, broker: Broker, topic: str) -> None:
        info = broker.describe(topic)
        assert (info.name, info.partitions) == (topic, 4)
        assert dict(info.begin) == dict(info.end) == {0: 0, 1: 0, 2: 0, 3: 0}

    def test_describe_counts_what_was_flushed(self, broker: Broker, topic: str) -> None:
        self.fill(broker, topic, 7, partition=2)
        info = broker.describe(topic)
        assert dict(info.begin) == {0: 0, 1: 0, 2: 0, 3: 0}
        assert dict(info.end) == {0: 0, 1: 0, 2: 7, 3: 0}

    def test_delete_topic(self, broker: Broker, topic: str) -> None:
        broker.delete_topic(topic)
        self.until(lambda: topic not in broker.topics(), what=f"{topic} is gone")
        with pytest.raises(TopicNotFoundError, match=topic):
            broker.describe(topic)

    @pytest.mark.parametrize(
        "call", ["describe", "delete", "offsets_at", "trim", "reader", "consumer", "send"]
    )
    def test_an_unknown_topic_is_an_error_that_names_it(
        self, broker: Broker, group: str, opened: contextlib.ExitStack, call: str
    ) -> None:
        name = self.new_name("no-such-topic")
        with pytest.raises(TopicNotFoundError, match=name):  # noqa: PT012 - one of these calls
            match call:
                case "describe":
                    broker.describe(name)
                case "delete":
                    broker.delete_topic(name)
                case "offsets_at":
                    broker.offsets_at(name, 0)
                case "trim":
                    broker.trim(name, {0: 0})
                case "reader":
                    opened.enter_context(broker.reader(name)).poll(1, self.patience)
                case "consumer":
                    opened.enter_context(broker.consumer([name], group)).poll(1, self.patience)
                case "send":
                    producer = broker.producer()
                    producer.send(name, [NewRecord(b"lost?")])
                    producer.flush()
        assert name not in broker.topics(), "never created by mistyping"

    # ------------------------------------------------------------ groups

    def test_a_group_begins_at_the_beginning(
        self, broker: Broker, topic: str, group: str, opened: contextlib.ExitStack
    ) -> None:
        for partition in range(4):
            self.fill(broker, topic, 5, partition)
        events = Events()
        consumer = opened.enter_context(broker.consumer([topic], group, listener=events))
        records = self.take(consumer, 20)
        assert sorted((r.partition, r.offset) for r in records) == [
            (p, n) for p in range(4) for n in range(5)
        ]
        assert consumer.assignment() == events.owned == {TopicPartition(topic, p) for p in range(4)}
        assert consumer.positions() == {TopicPartition(topic, p): 5 for p in range(4)}

    def test_a_group_resumes_where_it_committed(self, broker: Broker, single: str, group: str) -> None:
        partition = TopicPartition(single, 0)
        self.fill(broker, single, 10)
        with broker.consumer([single], group) as consumer:
            self.take(consumer, 10)
            consumer.commit({partition: 4})
        assert broker.committed(group, single) == {0: 4}
        with broker.consumer([single], group) as consumer:
            assert [record.offset for record in self.take(consumer, 6)] == [4, 5, 6, 7, 8, 9]

    def test_nothing_is_committed_unasked(self, broker: Broker, single: str, group: str) -> None:
        self.fill(broker, single, 10)
        with broker.consumer([single], group) as consumer:
            self.take(consumer, 10)
        assert broker.committed(group, single) == {}
        with broker.consumer([single], group) as consumer:
            assert len(self.take(consumer, 10)) == 10

    def test_two_groups_are_independent(self, broker: Broker, single: str, group: str) -> None:
        self.fill(broker, single, 5)
        for name in (group, f"{group}-other"):
            with broker.consumer([single], name) as consumer:
                assert [record.offset for record in self.take(consumer, 5)] == [0, 1, 2, 3, 4]
                consumer.commit({TopicPartition(single, 0): 5})

    def test_a_consumer_of_two_topics(
        self, broker: Broker, single: str, group: str, opened: contextlib.ExitStack
    ) -> None:
        other = self.new_topic(broker, 1)
        self.fill(broker, single, 3)
        self.fill(broker, other, 3)
        consumer = opened.enter_context(broker.consumer([single, other], group))
        assert {record.topic for record in self.take(consumer, 6)} == {single, other}

    def test_groups_lists_members_and_positions(self, broker: Broker, single: str, group: str) -> None:
        partition = TopicPartition(single, 0)
        self.fill(broker, single, 3)
        with broker.consumer([single], group) as consumer:
            self.take(consumer, 3)
            consumer.commit({partition: 3})
            [info] = broker.groups(group)
            assert (info.members, dict(info.committed)) == (1, {partition: 3})
            assert broker.groups(f"{group}-that-nobody-joined") == []
            assert broker.members(group) == 1
        self.until(
            lambda: [info.members for info in broker.groups() if info.name == group] == [0],
            what="the member is gone and the group's positions stay",
        )
        assert broker.members(group) == 0
        assert broker.members(f"{group}-that-nobody-joined") == 0

    def test_assignment_tells_who_owns_which_partitions(
        self, broker: Broker, topic: str, group: str, opened: contextlib.ExitStack
    ) -> None:
        other = self.new_topic(broker, 1)
        assert broker.assignment(group, topic) == {}
        consumers = [opened.enter_context(broker.consumer([topic], group)) for _ in range(2)]

        def agrees() -> bool:
            told = sorted(broker.assignment(group, topic).values())
            return told == sorted(
                sorted(partition.partition for partition in consumer.assignment()) for consumer in consumers
            )

        self.balanced(*consumers)
        self.until(agrees, *consumers, what="the broker tells what the members have")
        assert sorted(map(len, broker.assignment(group, topic).values())) == [2, 2]
        assert list(broker.assignment(group, other).values()) == [[], []]
        consumers.pop().close()
        self.balanced(*consumers)
        self.until(agrees, *consumers, what="who has left is not told of")
        consumers.pop().close()
        self.until(lambda: broker.assignment(group, topic) == {}, what="nobody is there")

    def test_a_member_without_a_partition_is_told_of(
        self, broker: Broker, single: str, group: str, opened: contextlib.ExitStack
    ) -> None:
        consumers = [opened.enter_context(broker.consumer([single], group)) for _ in range(2)]
        self.until(
            lambda: sorted(broker.assignment(group, single).values()) == [[], [0]],
            *consumers,
            what="one owns the partition and one nothing",
        )

    def test_polling_for_nothing_joins_and_takes_nothing(
        self, broker: Broker, single: str, group: str, opened: contextlib.ExitStack
    ) -> None:
        self.fill(broker, single, 3)
        consumer = opened.enter_context(broker.consumer([single], group))
        self.until(lambda: bool(consumer.assignment()), consumer, what="the only member owns the partition")
        assert consumer.poll(0, 0.0) == []
        assert [record.offset for record in self.take(consumer, 3)] == [0, 1, 2]

    def test_pause_and_resume_leave_no_gap(
        self, broker: Broker, topic: str, group: str, opened: contextlib.ExitStack
    ) -> None:
        paused = TopicPartition(topic, 1)
        for partition in range(4):
            self.fill(broker, topic, 20, partition)
        consumer = opened.enter_context(broker.consumer([topic], group))
        records = self.take(consumer, 10)
        consumer.pause([paused])
        before = sum(record.partition == 1 for record in records)
        rest = self.take(consumer, 70 - (20 - before))
        assert all(record.partition != 1 for record in rest)
        assert consumer.poll(100, 0.3) == []
        assert paused in consumer.assignment()
        consumer.resume([paused])
        offsets = [r.offset for r in [*records, *self.take(consumer, 20 - before)] if r.partition == 1]
        assert offsets == list(range(20))

    def test_what_is_paused_stays_so_when_it_went_and_came_back(
        self, broker: Broker, topic: str, group: str, opened: contextlib.ExitStack
    ) -> None:
        for partition in range(4):
            self.fill(broker, topic, 5, partition)
        one = opened.enter_context(broker.consumer([topic], group))
        self.balanced(one)
        everything = sorted(one.assignment())
        one.pause(everything)
        two = opened.enter_context(broker.consumer([topic], group))
        self.balanced(one, two)
        two.close()
        self.balanced(one)
        assert one.poll(100, 0.5) == []
        one.resume(everything)
        assert len(self.take(one, 20)) == 20

    def test_seek(self, broker: Broker, single: str, group: str, opened: contextlib.ExitStack) -> None:
        partition = TopicPartition(single, 0)
        self.fill(broker, single, 10)
        consumer = opened.enter_context(broker.consumer([single], group))
        self.take(consumer, 5)
        consumer.seek({partition: 8})
        assert [record.offset for record in self.take(consumer, 2)] == [8, 9]
        consumer.seek({partition: 1})
        assert [record.offset for record in self.take(consumer, 3)] == [1, 2, 3]
        assert consumer.positions() == {partition: 4}

    def test_a_join_moves_only_what_it_must(
        self, broker: Broker, topic: str, group: str, opened: contextlib.ExitStack
    ) -> None:
        first, second = Events(), Events()
        one = opened.enter_context(broker.consumer([topic], group, listener=first))
        self.balanced(one)
        two = opened.enter_context(broker.consumer([topic], group, listener=second))
        self.balanced(one, two)
        assert first.owned == one.assignment()
        assert second.owned == two.assignment()
        assert not first.owned & second.owned
        assert (first.total("assigned"), first.total("revoked"), first.total("lost")) == (4, 2, 0)
        assert (second.total("assigned"), second.total("revoked"), second.total("lost")) == (2, 0, 0)

    def test_what_was_fetched_beyond_a_bound_goes_with_its_partition(
        self, broker: Broker, topic: str, group: str, opened: contextlib.ExitStack
    ) -> None:
        for partition in range(4):
            self.send(broker, topic, *(NewRecord(bytes(1000), partition=partition) for _ in range(30)))
        one = opened.enter_context(broker.consumer([topic], group))
        got = self.take(one, 1)
        for _ in range(3):
            got += one.poll(100, 0.1, 2500)
        two = opened.enter_context(broker.consumer([topic], group))
        self.balanced(one, two)
        kept = {where.partition for where in one.assignment()}
        while sum(record.partition in kept for record in got) < 60:
            got += self.take(one, 1) + one.poll(100, 0.1, 2500)
        for partition in kept:
            assert [record.offset for record in got if record.partition == partition] == list(range(30))
        assert one.poll(100, 0.1) == [], "nothing of what moved"
        moved = sorted((record.partition, record.offset) for record in self.take(two, 60))
        assert moved == [(p, n) for p in range(4) if p not in kept for n in range(30)]

    def test_a_leave_hands_over_at_once(
        self, broker: Broker, topic: str, group: str, opened: contextlib.ExitStack
    ) -> None:
        first, second = Events(), Events()
        one = opened.enter_context(broker.consumer([topic], group, listener=first))
        two = opened.enter_context(broker.consumer([topic], group, listener=second))
        self.balanced(one, two)
        two.close()
        assert second.owned == set()
        assert second.total("lost") == 0
        self.balanced(one)
        assert first.total("assigned") >= 4
        two.close()

    def test_a_third_member_of_four_partitions_and_a_fifth_that_gets_none(
        self, broker: Broker, topic: str, group: str, opened: contextlib.ExitStack
    ) -> None:
        consumers = [opened.enter_context(broker.consumer([topic], group)) for _ in range(5)]
        self.balanced(*consumers)
        owned = [partition for consumer in consumers for partition in consumer.assignment()]
        assert len(owned) == len(set(owned)) == 4

    def test_a_commit_while_partitions_are_revoked_counts(
        self, broker: Broker, topic: str, group: str, opened: contextlib.ExitStack
    ) -> None:
        for partition in range(4):
            self.fill(broker, topic, 10, partition)
        events = Events()
        one = opened.enter_context(broker.consumer([topic], group, listener=events))
        events.commit_on_revoke = lambda partitions: one.commit(dict.fromkeys(partitions, 6))
        self.take(one, 40)
        two = opened.enter_context(broker.consumer([topic], group))
        records: list[Record] = []
        deadline = self.deadline()
        while len(records) < 8:
            assert not deadline.passed, f"the second member got {records}"
            assert one.poll(10, 0.05) == []
            records += two.poll(10, 0.05)
        moved = {record.partition for record in records}
        assert len(moved) == 2
        assert sorted((r.partition, r.offset) for r in records) == sorted(
            (p, n) for p in moved for n in range(6, 10)
        )

    def test_a_commit_of_a_partition_never_owned_is_fenced(
        self, broker: Broker, topic: str, group: str, opened: contextlib.ExitStack
    ) -> None:
        one = opened.enter_context(broker.consumer([topic], group))
        two = opened.enter_context(broker.consumer([topic], group))
        self.balanced(one, two)
        foreign = next(iter(two.assignment()))
        with pytest.raises(FencedError, match=topic):
            one.commit({foreign: 1})
        assert broker.committed(group, topic) == {}

    def test_a_member_that_does_not_poll_loses_its_partitions_and_its_commits_are_fenced(
        self, broker: Broker, topic: str, group: str, opened: contextlib.ExitStack
    ) -> None:
        for partition in range(4):
            self.fill(broker, topic, 5, partition)
        events = Events()
        seconds = self.session_timeout
        sleeper = opened.enter_context(
            broker.consumer(
                [topic], group, listener=events, session_timeout=seconds, max_poll_interval=seconds
            )
        )
        self.take(sleeper, 20)
        owned = sleeper.assignment()
        assert len(owned) == 4

        other = opened.enter_context(broker.consumer([topic], group))
        self.until(lambda: other.assignment() == owned, other, what="the other member owns everything")
        assert len(self.take(other, 20)) == 20, "nothing was committed"
        other.commit(dict.fromkeys(owned, 5))

        with pytest.raises(FencedError):
            sleeper.commit(dict.fromkeys(owned, 1))
        assert broker.committed(group, topic) == {0: 5, 1: 5, 2: 5, 3: 5}
        self.until(lambda: events.total("lost") == 4, sleeper, other, what="on_lost is called")
        assert events.total("revoked") == 0
        self.balanced(sleeper, other)  # it joins again

    def test_a_killed_member_is_replaced_and_what_it_did_not_commit_comes_again(
        self, broker: Broker, topic: str, group: str, opened: contextlib.ExitStack
    ) -> None:
        for partition in range(4):
            self.fill(broker, topic, 10, partition)
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(
            target=_consume_and_hang, args=(broker, topic, group, self.session_timeout, 40, 3, there)
        )
        process.start()
        there.close()
        opened.callback(process.kill)
        assert here.poll(self.patience), "the member never got its records"
        assert here.recv() == 40
        assert broker.committed(group, topic) == {0: 3, 1: 3, 2: 3, 3: 3}

        survivor = opened.enter_context(broker.consumer([topic], group))
        self.until(lambda: len(survivor.assignment()) == 2, survivor, what="both members share the topic")
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        records = self.take(survivor, 4 * 7)
        assert sorted((r.partition, r.offset) for r in records) == [
            (p, n) for p in range(4) for n in range(3, 10)
        ]

    # ------------------------------------------------------------ processes

    def test_a_broker_travels_by_its_url(self, broker: Broker, single: str) -> None:
        self.fill(broker, single, 3)
        with pickle.loads(pickle.dumps(broker)) as copy:  # noqa: S301 - our own bytes
            assert copy.url == broker.url
            assert copy.describe(single).end == {0: 3}

    def test_closing_can_be_repeated(self, broker: Broker, single: str, group: str) -> None:
        reader, consumer = broker.reader(single), broker.consumer([single], group)
        for each in (reader, consumer):
            each.poll(0, 0.0)
            each.close()
            each.close()


def _consume_and_hang(
    broker: Broker,
    topic: str,
    group: str,
    session_timeout: float,
    records: int,
    position: int,
    done: Connection,
) -> None:
    """Run in a process of its own: read, commit `position` everywhere, and go on polling until killed."""
    consumer = broker.consumer([topic], group, session_timeout=session_timeout)
    got = 0
    while got < records:
        got += len(consumer.poll(records - got, 0.1))
    committed: Offsets = dict.fromkeys(consumer.assignment(), position)
    consumer.commit(committed)
    done.send(got)
    while True:
        consumer.poll(10, 0.1)
