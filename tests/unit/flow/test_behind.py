"""Markers behind messages that leave in another order than they came in."""

from hypothesis import given
from hypothesis import strategies as st

from streamzarr.flow.message import Barrier, Message
from streamzarr.flow.ops.behind import Behind

STEPS = st.lists(st.sampled_from(["came", "left", "became", "mark"]), max_size=60)


@given(STEPS, st.randoms(use_true_random=False))
def test_a_marker_passes_when_all_that_came_before_it_has_left_and_no_later(steps, random):
    behind, held, waiting = Behind(), [], []
    for clock, step in enumerate(steps, 1):
        if step == "came":
            new = [Message(data=clock) for _ in range(random.randint(1, 3))]
            held += [(clock, message) for message in new]
            behind.came(new)
        elif step == "mark":
            marker = Barrier()
            waiting.append((clock, marker))
            behind.mark(marker, len(held))
        elif held:
            came, message = held.pop(random.randrange(len(held)))
            if step == "left":
                behind.left([message])
            else:
                others = [Message(data=clock) for _ in range(random.randint(0, 3))]
                held += [(came, other) for other in others]
                behind.became(message, others)
        oldest = min((came for came, _ in held), default=clock + 1)
        expected = [marker for at, marker in waiting if at < oldest]
        assert [id(marker) for marker in behind.passing()] == list(map(id, expected))
        waiting = waiting[len(expected) :]
        assert waiting or not behind._number, "messages are told apart only while a marker waits"
