"""What is open under a claim, and what of it will come again."""

from streamzarr.flow import Demand
from streamzarr.flow.acknowledge import Claim, Hold
from streamzarr.flow.chain import Chain
from streamzarr.flow.delivery import Delivery, Fate
from streamzarr.queue.base import TopicPartition

TICKS = TopicPartition("ticks", 0)


def test_a_message_comes_again_if_a_piece_of_it_was_handed_back():
    claim = Claim(TICKS, 0, Demand(9))
    claim.deliver(Delivery(1, [1, 1, 1], None, [0, 1, 2]), 3)
    claim.split(2, 3)
    claim.release(2, Fate.OK)
    assert not claim.is_back(2)
    claim.release(2, Fate.HANDED_BACK)
    assert claim.is_back(2)
    claim.release(2, Fate.OK)
    claim.release(1, Fate.OK)
    assert [claim.is_back(seq) for seq in (0, 1, 2, 3, 4)] == [False, False, True, False, False]


def test_the_results_of_a_claims_records_are_open_for_it():
    chain, demand = Chain(), Demand(9)
    ours, other = chain.claim(demand, TICKS, 0), chain.claim(demand, TopicPartition("ticks", 1), 0)
    first = chain.result("bar", [Hold()], 8, ours)
    second = chain.result("bars", [Hold()], 8, first.claim)
    assert (chain.is_open([ours]), chain.is_open([other])) == (True, False)
    chain.settle([first])
    assert chain.is_open([ours])
    chain.settle([second])
    assert not chain.is_open([ours])


def test_claims_of_results_end_with_those_that_they_are_for():
    chain, demand = Chain(), Demand(9)
    for _ in range(50):
        claim = chain.claim(demand, TICKS, 0)
        chain.settle([chain.result("bar", [Hold()], 8, claim)])
        claim.ours = False
    assert len(chain.claims) <= 3
