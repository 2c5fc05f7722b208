"""Few tasks reach many workers, and no partition is forgotten."""

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from streamzarr.jobs.spread import interleaved


@st.composite
def assignments(draw):
    """A number of partitions and who owns them; some belong to nobody, some members own nothing."""
    partitions = draw(st.integers(0, 24))
    members = draw(st.lists(st.text("abcdef", min_size=1, max_size=3), unique=True, max_size=6))
    owned = {member: [] for member in members}
    for partition in draw(st.permutations(range(partitions))):
        owner = draw(st.sampled_from([None, *members]))
        if owner is not None:
            owned[owner].append(partition)
    return partitions, owned


@given(assignments())
def test_each_partition_has_its_turn_once(drawn):
    partitions, owned = drawn
    assert sorted(interleaved(partitions, owned)) == list(range(partitions))


@given(assignments())
def test_no_member_gets_two_more_than_another_that_has_partitions_left(drawn):
    partitions, owned = drawn
    owner = {partition: member for member, held in owned.items() for partition in held}
    got = Counter(dict.fromkeys(owned, 0))
    for partition in interleaved(partitions, owned):
        if partition in owner:
            got[owner[partition]] += 1
        left = [got[member] for member in owned if got[member] < len(owned[member])]
        assert not left or max(got.values()) <= min(left) + 1


@given(assignments())
def test_the_first_tasks_go_to_as_many_members_as_own_something(drawn):
    partitions, owned = drawn
    holders = sum(map(bool, owned.values()))
    first = interleaved(partitions, owned)[:holders]
    assert all(sum(partition in held for partition in first) == 1 for held in owned.values() if held)


@given(assignments())
def test_partitions_that_nobody_owns_come_last(drawn):
    partitions, owned = drawn
    held = {partition for each in owned.values() for partition in each}
    orphaned = [partition not in held for partition in interleaved(partitions, owned)]
    assert all(earlier <= later for earlier, later in pairwise(orphaned))


@given(assignments(), st.data())
def test_an_assignment_that_is_out_of_date_loses_no_partition(drawn, data):
    partitions, owned = drawn
    stale = {
        member: held + data.draw(st.lists(st.integers(-2, partitions + 2))) for member, held in owned.items()
    }
    assert sorted(interleaved(partitions, stale)) == list(range(partitions))
