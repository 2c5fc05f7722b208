"""plan_assignment: complete, balanced, sticky, on random groups."""

from hypothesis import given, settings
from hypothesis import strategies as st

from streamzarr.queue.base import TopicPartition
from streamzarr.queue.embedded.assignment import plan_assignment

TOPICS = ["a", "b", "c"]
MEMBERS = [f"m{n}" for n in range(6)]


@st.composite
def groups(draw, same_topics=False):
    counts = {topic: draw(st.integers(1, 8)) for topic in TOPICS}
    partitions = [TopicPartition(topic, n) for topic in TOPICS for n in range(counts[topic])]
    names = draw(st.lists(st.sampled_from(MEMBERS), unique=True))
    subscription = st.just(TOPICS) if same_topics else st.lists(st.sampled_from(TOPICS), unique=True)
    members = {name: draw(subscription) for name in names}
    current = draw(st.dictionaries(st.sampled_from(partitions), st.sampled_from([*MEMBERS, "gone"])))
    return members, partitions, current


def loads_of(members, plan):
    return {member: sum(owner == member for owner in plan.values()) for member in members}


@settings(max_examples=300, deadline=None)
@given(groups())
def test_every_partition_with_a_subscriber_has_one_owner_that_subscribed(group):
    members, partitions, current = group
    plan = plan_assignment(members, partitions, current)
    wanted = {topic for topics in members.values() for topic in topics}
    assert set(plan) == {partition for partition in partitions if partition.topic in wanted}
    assert all(partition.topic in members[owner] for partition, owner in plan.items())


@settings(max_examples=300, deadline=None)
@given(groups())
def test_no_chain_of_moves_makes_it_more_even(group):
    """Checked by brute force: who can reach whom by handing partitions on."""
    members, partitions, current = group
    plan = plan_assignment(members, partitions, current)
    loads = loads_of(members, plan)
    owned = {member: {p.topic for p, owner in plan.items() if owner == member} for member in members}
    reach = {giver: {taker for taker in members if owned[giver] & set(members[taker])} for giver in members}
    for _ in members:
        reach = {giver: direct.union(*(reach[taker] for taker in direct)) for giver, direct in reach.items()}
    for giver, takers in reach.items():
        assert all(loads[giver] - loads[taker] <= 1 for taker in takers)


@settings(max_examples=300, deadline=None)
@given(groups(same_topics=True))
def test_with_equal_subscriptions_loads_differ_by_at_most_one_and_no_move_is_wasted(group):
    members, partitions, current = group
    plan = plan_assignment(members, partitions, current)
    if not members:
        assert plan == {}
        return
    loads = loads_of(members, plan)
    assert max(loads.values()) - min(loads.values()) <= 1
    # The most that can stay: the members with the most may keep the larger shares.
    share, larger = divmod(len(partitions), len(members))
    held = sorted((sum(owner == member for owner in current.values()) for member in members), reverse=True)
    best = sum(min(count, share + (rank < larger)) for rank, count in enumerate(held))
    assert sum(plan[partition] == owner for partition, owner in current.items()) == best


@settings(max_examples=200, deadline=None)
@given(groups())
def test_a_plan_is_its_own_next_plan(group):
    members, partitions, current = group
    plan = plan_assignment(members, partitions, current)
    assert plan_assignment(members, partitions, plan) == plan


def test_relief_passes_through_a_member_in_between():
    """m0 can only give to m1, which gives to m2."""
    members = {"m0": ["a"], "m1": ["a", "b"], "m2": ["b"]}
    a = [TopicPartition("a", n) for n in range(4)]
    b = [TopicPartition("b", n) for n in range(2)]
    current = {**dict.fromkeys(a[:3], "m0"), a[3]: "m1", b[0]: "m1", b[1]: "m2"}
    plan = plan_assignment(members, a + b, current)
    assert loads_of(members, plan) == {"m0": 2, "m1": 2, "m2": 2}
