"""Groups under random messages, keys and times: in order, within their bounds, none lost."""

from hypothesis import given
from hypothesis import strategies as st

from streamzarr.flow import Message
from streamzarr.flow.ops.grouping import Groups, Limits

messages = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 40), st.floats(0, 3)), max_size=60
)  # key, bytes, seconds since the one before


@given(
    arrivals=messages,
    size=st.none() | st.integers(1, 5),
    nbytes=st.none() | st.integers(1, 60),
    until=st.none() | st.integers(1, 30),
    timeout=st.none() | st.floats(0.5, 5),
    by_key=st.booleans(),
)
def test_groups_keep_their_bounds_and_order_and_lose_nothing(arrivals, size, nbytes, until, timeout, by_key):
    if size is None and nbytes is None and until is None:
        size = 3
    groups = Groups(
        Limits(size, nbytes, until and (lambda datas: datas[-1] % until == 0), timeout, by_key), "batch"
    )
    now, left, due_at = 0.0, [], {}
    for number, (key, length, gap) in enumerate(arrivals):
        now += gap
        for group in groups.take_due(now):
            left.append(group)
            assert now >= due_at[group[0].data]
        due = groups.due()
        assert due is None or due > now
        if timeout is not None:
            due_at[number] = now + timeout
        left += groups.add(Message(data=number, key=key, nbytes=length), now)
        assert groups.waiting == number + 1 - sum(map(len, left))
        assert (groups.oldest is None) == (groups.waiting == 0)
    rest = groups.take_all()
    for group in left + rest:
        assert group, "an empty group"
        assert size is None or len(group) <= size
        assert nbytes is None or len(group) == 1 or sum(m.nbytes for m in group) <= nbytes
        if until:
            assert all(m.data % until for m in group[:-1]), "went on behind its end"
        if by_key:
            assert len({m.key for m in group}) == 1
    if until or size:
        for group in rest:
            assert not (until and group[-1].data % until == 0)
            assert not (size and len(group) == size)
    for key in "abc" if by_key else [None]:
        numbers = [m.data for group in left + rest for m in group if key in (None, m.key)]
        assert numbers == [n for n, (k, _, _) in enumerate(arrivals) if key in (None, k)]
    assert groups.waiting == 0


@given(
    batches=st.lists(st.integers(0, 12), max_size=8),
    size=st.integers(1, 5),
    nbytes=st.none() | st.integers(1, 6),
)
def test_messages_that_come_together_are_grouped_as_one_by_one(batches, size, nbytes):
    limits = Limits(size, nbytes, None, None, False)
    together, singly = Groups(limits, "batch"), Groups(limits, "batch")
    number = 0
    for count in batches:
        arriving = [Message(data=number + n, nbytes=1) for n in range(count)]
        number += count
        one_by_one = [group for message in arriving for group in singly.add(message, 0.0)]
        assert list(map(list, together.add_all(tuple(arriving), 0.0))) == one_by_one
        for name in ("waiting", "begun", "oldest"):
            assert getattr(together, name) == getattr(singly, name)
    assert list(map(list, together.take_all())) == singly.take_all()
