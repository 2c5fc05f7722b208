"""What a claim says is settled beyond its position, against a plain set of offsets."""

from hypothesis import given
from hypothesis import strategies as st

from streamzarr.flow import Demand
from streamzarr.flow.acknowledge import Hold
from streamzarr.flow.chain import Chain
from streamzarr.flow.delivery import Delivery, Fate
from streamzarr.queue.base import TopicPartition

PARTITION = TopicPartition("ticks", 0)


def deliver(chain, claim, start, gaps):
    """Deliver a record behind each gap; return their offsets by sequence number."""
    offsets, at = [], start
    for gap in gaps:
        offsets.append(at + gap)
        at += gap + 1
    seq = chain.number(len(offsets))
    claim.credits.take([1] * len(offsets))
    claim.deliver(Delivery(seq, [1] * len(offsets), None, offsets), at)
    return dict(zip(range(seq, seq + len(offsets)), offsets, strict=True)), at


@given(
    st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=8), min_size=1, max_size=6),
    st.randoms(use_true_random=False),
    st.lists(st.integers(0, 80), max_size=6, unique=True).map(sorted),
)
def test_settled_ahead_is_all_that_is_not_open(groups, random, before):
    chain = Chain()
    claim = chain.claim(Demand(1000), PARTITION, 10)
    claim.ahead = [range(90 + offset, 91 + offset) for offset in before]
    by_seq, at = {}, 10
    for gaps in groups:
        delivered, at = deliver(chain, claim, at, gaps)
        by_seq |= delivered
    left = dict(by_seq)
    for seq in random.sample(sorted(by_seq), random.randint(0, len(by_seq))):
        back = random.random() < 0.2
        claim.release(seq, Fate.HANDED_BACK if back else Fate.OK)
        if not back:
            del left[seq]
        said = {offset for each in claim.settled_ahead() for offset in each}
        beyond = {90 + offset for offset in before if 90 + offset >= at}
        assert said == set(range(claim.position, at)) - set(left.values()) | beyond
        assert not said & set(left.values())


def test_what_was_left_in_flight_at_the_end_is_not_said_to_be_settled():
    chain = Chain()
    claim = chain.claim(Demand(1000), PARTITION, 0)
    first, at = deliver(chain, claim, 0, [0, 0, 0])
    second, _ = deliver(chain, claim, at, [0, 0, 0])
    claim.release(list(first)[1], Fate.OK)
    claim.release(list(second)[2], Fate.OK)
    before = claim.settled_ahead()
    assert before == [range(1, 2), range(5, 6)]
    claim.end()
    assert (claim.position, claim.settled_ahead()) == (0, before)


def test_nothing_is_said_while_an_accumulator_holds_what_was_folded():
    chain = Chain()
    claim = chain.claim(Demand(1000), PARTITION, 0)
    seqs, _ = deliver(chain, claim, 0, [0, 0, 0])
    hold = Hold()
    claim.release(list(seqs)[1], Fate.FOLDED, hold)
    assert claim.settled_ahead() == []
    hold.release(Fate.OK)
    assert claim.settled_ahead() == [range(1, 2)]
