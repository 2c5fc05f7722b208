"""One stream of a join: its watermark over partitions that come and go, and what a crash brings again."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamzarr.errors import LateError
from streamzarr.flow import Demand
from streamzarr.flow.chain import Chain
from streamzarr.flow.message import Message
from streamzarr.flow.ops.side import Side
from streamzarr.flow.windows.watermark import Watermarks
from streamzarr.queue.base import Record, TopicPartition


class Stream:
    def __init__(self, disorder=0):
        self.chain, self.demand = Chain(), Demand(1000)
        self.side = Side(
            self.chain, lambda data: "k", lambda data: data, lambda: Watermarks(disorder), comes_again=True
        )

    def claim(self, partition):
        return self.chain.claim(self.demand, TopicPartition("t", partition), 0)

    def take(self, claim, offset, at):
        record = Record("t", claim.partition.partition, offset, None, b"", (), 0)
        self.side.place(Message(row=record, data=at, claim=claim))


def test_the_watermark_is_the_least_of_all_partitions_of_the_topic():
    stream = Stream()
    first, second = stream.claim(0), stream.claim(1)
    stream.take(first, 0, 100)
    assert stream.side.mark < 0
    stream.take(second, 0, 50)
    assert stream.side.mark == 50
    with pytest.raises(LateError, match="of time 49 came when the watermark was 50"):
        stream.take(second, 1, 49)


def test_a_partition_that_comes_back_is_read_again_and_not_late():
    stream = Stream()
    first, second = stream.claim(0), stream.claim(1)
    stream.take(first, 0, 100)
    stream.take(second, 0, 200)
    assert stream.side.mark == 100
    first.ours = False
    stream.side.abandon([first])
    assert stream.side.mark == 200
    again = stream.claim(0)
    stream.side.turn()
    assert stream.side.mark < 0, "nothing is known of it"
    stream.side.abandon([again])
    again.ours = False
    again = stream.claim(0)
    stream.side.turn()
    stream.take(again, 0, 100)
    assert stream.side.mark == 100


def test_a_message_is_covered_by_the_partition_of_its_own_number():
    stream, other = Stream(), Stream()
    message = Message(claim=other.claim(1))
    assert stream.side.covers(message), "nothing says that it is a topic"
    stream.take(stream.claim(0), 0, 1)
    assert not stream.side.covers(message)
    claim = stream.claim(1)
    stream.side.turn()
    assert stream.side.covers(message)
    stream.side.abandon([claim])
    assert not stream.side.covers(message)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2)), max_size=30))
def test_the_earliest_of_what_would_come_again(steps):
    stream = Stream(disorder=1000)
    claim, times = stream.claim(0), []
    claim.committed = 0
    for at, stored in steps:
        stream.take(claim, len(times), at)
        times.append(at)
        claim.committed = min(len(times), claim.committed + stored)
        assert stream.side.again == min(times[claim.committed :], default=math.inf)
