"""Few tasks reach many workers, and no partition is forgotten."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from streamzarr.jobs.spread import interleaved

NOBODY = "nobody"


@st.composite
def holdings(draw):
    """A number of partitions and who owns them; some members own nothing, and nobody may own some."""
    partitions = draw(st.integers(0, 24))
    members = draw(st.lists(st.text("abcdef", min_size=1, max_size=3), unique=True, max_size=6))
    held = {member: [] for member in [*members, NOBODY]}
    for partition in draw(st.permutations(range(partitions))):
        held[draw(st.sampled_from([*members, NOBODY]))].append(partition)
    return partitions, held


def order_of(partitions, held):
    return interleaved(partitions, {member: owned for member, owned in held.items() if member != NOBODY})


@given(holdings())
def test_each_partition_has_its_turn_once(drawn):
    partitions, held = drawn
    assert sorted(order_of(partitions, held)) == list(range(partitions))


@given(holdings())
def test_no_member_gets_two_more_than_another_that_has_partitions_left(drawn):
    partitions, held = drawn
    owner = {partition: member for member, owned in held.items() for partition in owned}
    got = Counter(dict.fromkeys(held, 0))
    for partition in order_of(partitions, held):
        got[owner[partition]] += 1
        left = [got[member] for member in held if got[member] < len(held[member])]
        assert not left or max(got.values()) <= min(left) + 1


@given(holdings())
def test_the_first_tasks_go_to_as_many_members_as_own_something(drawn):
    partitions, held = drawn
    holders = [set(owned) for owned in held.values() if owned]
    first = order_of(partitions, held)[: len(holders)]
    assert all(len(owned.intersection(first)) == 1 for owned in holders)


def test_without_members_partitions_have_their_turn_by_number():
    assert interleaved(5, {}) == interleaved(5, {"joining": []}) == (0, 1, 2, 3, 4)


@given(holdings(), st.data())
def test_an_assignment_that_is_out_of_date_loses_no_partition(drawn, data):
    partitions, held = drawn
    stale = {
        member: owned + data.draw(st.lists(st.integers(-2, partitions + 2))) for member, owned in held.items()
    }
    assert sorted(interleaved(partitions, stale)) == list(range(partitions))
