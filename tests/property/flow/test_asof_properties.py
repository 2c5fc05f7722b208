"""The asof join's state against ``pandas.merge_asof``, over shuffled arrivals."""

import math
from collections import Counter

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from streamzarr.flow.ops.asof import AsofJoin

KEYS = ("a", "b", "c")
rows = st.lists(st.tuples(st.integers(0, 40), st.sampled_from(KEYS)), max_size=40)
directions = st.sampled_from(["backward", "forward", "nearest"])
tolerances = st.sampled_from([0, 1, 3, 10, math.inf])


def by_pandas(lefts, rights, tolerance, direction):
    """Return the number of the right row that each left row matches; -1 for none."""
    left = pd.DataFrame(lefts, columns=["time", "key", "left"]).astype({"time": "int64", "key": "str"})
    right = pd.DataFrame(rights, columns=["time", "key", "right"]).astype({"time": "int64", "key": "str"})
    joined = pd.merge_asof(
        left.sort_values("time", kind="stable"),
        right.sort_values("time", kind="stable"),
        on="time",
        by="key",
        tolerance=None if math.isinf(tolerance) else tolerance,
        direction=direction,
    )
    return {int(row.left): -1 if pd.isna(row.right) else int(row.right) for row in joined.itertuples()}


@st.composite
def arrivals(draw):
    """Draw two sides, numbered in the order of time and then of arrival, and in which order they come.

    Each side is in disorder by at most its lateness; rows of one time keep their order, as in a partition.
    """
    lateness = draw(st.integers(0, 15))
    sides = []
    for side in ("left", "right"):
        ordered = sorted(draw(rows), key=lambda row: row[0])
        numbered = [(time, key, number) for number, (time, key) in enumerate(ordered)]
        delays = {time: draw(st.integers(0, lateness)) for time, _, _ in numbered}
        sides.append([(side, *row) for row in sorted(numbered, key=lambda row: row[0] + delays[row[0]])])
    turns = draw(st.permutations(["left"] * len(sides[0]) + ["right"] * len(sides[1])))
    queues = {"left": iter(sides[0]), "right": iter(sides[1])}
    return lateness, [next(queues[side]) for side in turns]


@settings(deadline=None, max_examples=300)
@given(arrivals(), tolerances, directions)
def test_matches_are_those_of_pandas_whatever_the_order_of_arrival(arriving, tolerance, direction):
    lateness, order = arriving
    join, newest = AsofJoin(tolerance, direction), {"left": -math.inf, "right": -math.inf}
    found, forgotten = {}, []
    for side, time, key, number in order:
        assert time >= newest[side] - lateness
        newest[side] = max(newest[side], time)
        (join.add_left if side == "left" else join.add_right)(key, time, number)
        for left, right in join.matched(newest["right"] - lateness):
            assert left not in found
            found[left] = -1 if right is None else right
        forgotten += join.expired(newest["left"] - lateness)
    found.update({left: -1 if right is None else right for left, right in join.matched(math.inf)})
    forgotten += join.expired(math.inf)

    lefts = [row[1:] for row in order if row[0] == "left"]
    rights = [row[1:] for row in order if row[0] == "right"]
    assert found == by_pandas(lefts, rights, tolerance, direction)
    assert Counter(forgotten) == Counter(number for _, _, number in rights), (
        "forgotten once each, all in the end"
    )
    assert (join.rights, join.waiting, join._rows, join._waiting) == (0, 0, {}, {})


@settings(deadline=None, max_examples=100)
@given(arrivals(), st.sampled_from([0, 1, 3, 10]), directions)
def test_what_is_held_is_what_a_left_row_can_still_match(arriving, tolerance, direction):
    """Whatever is forgotten early is bounded: no row is held once lefts are a tolerance beyond it."""
    lateness, order = arriving
    join, times, held = AsofJoin(tolerance, direction), {}, set()
    newest = {"left": -math.inf, "right": -math.inf}
    for side, time, key, number in order:
        newest[side] = max(newest[side], time)
        if side == "left":
            join.add_left(key, time, number)
        else:
            join.add_right(key, time, number)
            times[number] = time
            held.add(number)
        join.matched(math.inf)  # nothing waits, so the left watermark alone decides
        watermark = newest["left"] - lateness
        held -= set(join.expired(watermark))
        reach = 0 if direction == "forward" else tolerance
        assert all(times[number] + reach >= watermark for number in held)
        assert len(held) == join.rights
