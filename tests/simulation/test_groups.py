"""Groups of the simulated broker under random steps: one owner, fenced commits, all is owned in the end."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from streamzarr.queue.base import TopicPartition
from streamzarr.testing.simulation.groups import Group, Member

PARTITIONS = [TopicPartition("t", number) for number in range(5)]
NAMES = "abcd"

steps = st.lists(
    st.tuples(st.sampled_from(["join", "leave", "release", "claim", "commit"]), st.sampled_from(NAMES)),
    max_size=40,
)


@given(steps)
def test_commits_are_the_owners_and_every_partition_finds_one(schedule: list[tuple[str, str]]) -> None:
    group = Group()
    for number, (step, name) in enumerate(schedule):
        if step == "join" and name not in group.members:
            group.join(name, Member(("t",), 10.0, 10.0), PARTITIONS)
        elif step == "leave" and name in group.members:
            group.remove(name, PARTITIONS)
            assert not group.owned(name)
        elif step == "release":
            group.release(name, group.unwanted(name))
        elif step == "claim":
            before = dict(group.owner)
            taken = group.claim(name)
            assert not before.keys() & set(taken), "taken from nobody"
        elif step == "commit":
            before = dict(group.committed)
            refused = group.commit(name, dict.fromkeys(PARTITIONS, number))
            assert set(PARTITIONS) - set(refused) == set(group.owned(name))
            assert {each: before.get(each) for each in refused} == {
                each: group.committed.get(each) for each in refused
            }
        assert set(group.owner.values()) <= set(group.members)
    for _ in range(2):  # whoever gives up goes first, whoever takes second
        for name in list(group.members):
            group.release(name, group.unwanted(name))
        for name in list(group.members):
            group.claim(name)
    if group.members:
        assert set(group.owner) == set(PARTITIONS)
        loads = Counter({name: len(group.owned(name)) for name in group.members})
        assert max(loads.values()) - min(loads.values()) <= 1
