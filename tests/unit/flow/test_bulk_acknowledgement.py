"""What is delivered and released together is as if it were delivered and released one by one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamzarr.errors import ConfigError
from streamzarr.flow import Demand, Message
from streamzarr.flow.acknowledge import Claim, Hold, Outcome
from streamzarr.flow.chain import Chain
from streamzarr.queue.base import Record, TopicPartition
from streamzarr.queue.columns import columns_of

PARTITION = TopicPartition("t", 0)
OUTCOMES = st.sampled_from(list(Outcome))


def total(released):
    """Records and bytes by outcome: how many entries tell of them is of no account."""
    sums = {}
    for each in released:
        records, nbytes = sums.get(each.outcome, (0, 0))
        sums[each.outcome] = records + each.records, nbytes + each.nbytes
    return sums


def state(claim):
    return claim.open, claim.position, claim.window.watermark, claim.window.in_flight, claim.committed


@given(
    gaps=st.lists(st.integers(0, 3), min_size=1, max_size=12),
    start=st.sampled_from([None, 0]),
    outcome=OUTCOMES,
    ours=st.booleans(),
    held=st.booleans(),
    data=st.data(),
)
def test_releasing_at_once_is_releasing_one_by_one(gaps, start, outcome, ours, held, data):
    offsets = [sum(gaps[: index + 1]) + index for index in range(len(gaps))]
    seqs = list(range(1, len(gaps) + 1))
    split = data.draw(st.sets(st.sampled_from(seqs), max_size=2))
    chosen = data.draw(st.lists(st.sampled_from(seqs), unique=True))
    one, many = (Claim(PARTITION, start, Demand(100)) for _ in range(2))
    for seq, offset in zip(seqs, offsets, strict=True):
        one.deliver(seq, 1, 10 * seq, offset)
    many.deliver_all(seqs, [10 * seq for seq in seqs], offsets)
    assert state(one) == state(many)
    holds = Hold() if held else None, Hold() if held else None
    for claim in (one, many):
        claim.ours = ours
        for seq in split:
            claim.split(seq, 2)
    singly = [each for seq in chosen if (each := one.release(seq, outcome, holds[0])) is not None]
    together = list(many.release_all(chosen, outcome, holds[1]))
    assert total(together) == total(singly)
    assert state(one) == state(many)
    if held:
        assert holds[0].offset(one) == holds[1].offset(many)
        assert total(holds[0].release(Outcome.OK)) == total(holds[1].release(Outcome.OK))


def test_messages_that_come_from_no_topic_are_delivered_together():
    claim = Claim(None, None, Demand(10))
    claim.deliver_all([1, 2], [5, 6])
    assert (claim.in_flight, claim.position) == (2, None)
    assert total(claim.release_all([1, 2], Outcome.OK)) == {Outcome.OK: (2, 11)}


def test_a_run_of_one_record_counts_for_its_offset():
    demand, chain = Demand(10), Chain()
    claim = chain.claim(demand, PARTITION, 0)
    [run] = columns_of([Record(*PARTITION, 7, None, b"x", (), 0)])
    messages = chain.admit([Message(run=run, data=run, nbytes=1, seq=1, claim=claim)], demand)
    assert claim.position == 7
    chain.settle(messages)
    assert claim.position == 8


def test_a_message_that_is_released_twice_among_others_is_an_error_and_the_others_are_told():
    claim = Claim(PARTITION, None, Demand(10))
    claim.deliver_all([1, 2], [5, 6], [0, 1])
    released = claim.release_all([1, 2, 2], Outcome.OK)
    assert [next(released).nbytes, next(released).nbytes] == [5, 6]
    with pytest.raises(ConfigError, match="settled a second time"):
        next(released)
