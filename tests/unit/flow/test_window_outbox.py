"""Results on their way: what is stored of them, and until when."""

from streamzarr.flow import Demand, windows
from streamzarr.flow.acknowledge import Claim, Hold, Receipt
from streamzarr.flow.delivery import Fate
from streamzarr.flow.windows.outbox import Outbox


def test_what_is_handed_back_is_delivered_again_in_its_place():
    outbox = Outbox((), 0)
    for value in (1, 2, 3):
        outbox.put(windows.Result("k", windows.Window(0, value), value, 1), None)
    outbox.stored(2)
    first, second = outbox.take(), outbox.take()
    assert outbox.take() is None
    first.receipt.release(Fate.HANDED_BACK)
    second.receipt.release(Fate.FAILED)
    outbox.look()
    assert [outgoing.value for outgoing in outbox.contents] == [1, 3]
    assert outbox.take().outgoing.value == 1
    assert outbox.unsaved


def test_a_receipt_is_released_by_the_last_that_keeps_it():
    receipt, one, other = Receipt(), Hold(), Hold()
    one.keep_as(receipt)  # a piece
    other.absorb(receipt)  # the last piece
    one.release(Fate.OK)
    assert not receipt.released
    third = Hold()
    third.absorb(other)
    third.release(Fate.OK)
    assert receipt.released
    assert receipt.fate is Fate.OK


def test_a_receipt_of_what_is_handed_back_stays_stored():
    receipt, hold = Receipt(), Hold()
    hold.absorb(receipt)
    hold.release(Fate.HANDED_BACK)
    assert not receipt.released


def test_of_stored_results_those_are_kept_that_are_not_settled():
    outbox = Outbox((), 0)
    for value in (1, 2, 3):
        outbox.put(windows.Result("k", windows.Window(0, value), value, 1), None)
    outbox.stored(2)  # the third one came later
    before = outbox.contents[:2]
    first = outbox.take()
    assert outbox.still_open(before) == before
    first.receipt.release(Fate.OK)
    outbox.look()
    assert outbox.settled
    assert [outgoing.value for outgoing in outbox.still_open(before)] == [2]


def test_a_result_is_its_partitions_and_so_is_what_it_was_folded_into():
    mine, lost = (Claim(None, 0, Demand(1)) for _ in range(2))
    receipt, hold = Receipt(), Hold()
    receipt.count(lost, 0)
    assert receipt.within([lost])
    assert not receipt.within([mine])
    lost.ours = False
    assert not receipt.ours
    hold.count(mine, 1)
    hold.absorb(receipt)
    assert hold.ours
