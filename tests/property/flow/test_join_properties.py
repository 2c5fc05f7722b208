"""``ops.join_asof`` in a chain against ``pandas.merge_asof``, over shuffled arrivals and tiny demands."""

import math

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from streamzarr.flow import Demand, from_pull, ops, run

KEYS = ("a", "b", "c")
NONE = -1


def by_pandas(lefts, rights, tolerance, direction):
    """Return the number of the right row that each left row matches."""
    left = pd.DataFrame(lefts, columns=["key", "time", "left"]).astype({"time": "int64", "key": "str"})
    right = pd.DataFrame(rights, columns=["key", "time", "right"]).astype({"time": "int64", "key": "str"})
    joined = pd.merge_asof(
        left.sort_values("time", kind="stable"),
        right.sort_values("time", kind="stable"),
        on="time",
        by="key",
        tolerance=None if tolerance is None else tolerance,
        direction=direction,
    )
    return {int(row.left): NONE if pd.isna(row.right) else int(row.right) for row in joined.itertuples()}


@st.composite
def side(draw, disorder):
    """Draw rows of key, time and number, in disorder by at most `disorder`, those of one time in order."""
    times = sorted(draw(st.lists(st.integers(0, 40), max_size=30)))
    rows = [(draw(st.sampled_from(KEYS)), time, number) for number, time in enumerate(times)]
    delays = {time: draw(st.integers(0, disorder)) for _, time, _ in rows}
    return sorted(rows, key=lambda row: row[1] + delays[row[1]])


class Paced:
    """Gives rows in portions, some of them empty, never more than it is asked for."""

    def __init__(self, rows, portions):
        self.rows, self.portions = list(rows), list(portions)

    def __call__(self, count):
        count = min(count, self.portions.pop()) if self.portions else count
        taken, self.rows = self.rows[:count], self.rows[count:]
        return taken if taken or self.rows else None


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_a_chain_joins_as_pandas_does(data):
    disorder = data.draw(st.integers(0, 10))
    lefts, rights = data.draw(side(disorder)), data.draw(side(disorder))
    direction = data.draw(st.sampled_from(["backward", "forward", "nearest"]))
    tolerance = data.draw(st.sampled_from([0, 1, 3, 10, None] if direction == "backward" else [0, 1, 3, 10]))
    portions = st.lists(st.integers(0, 3), max_size=20)
    demands = Demand(data.draw(st.integers(1, 8))), Demand(data.draw(st.integers(1, 8)), max_bytes=50)
    size = data.draw(st.integers(1, 4))
    found = {}

    def sink(messages):
        for message in messages:
            left, right = message.data
            assert left[2] not in found
            found[left[2]] = NONE if right is None else right[2]

    left = from_pull(Paced(lefts, data.draw(portions)), demands[0], idle=1e-6)
    right = from_pull(Paced(rights, data.draw(portions)), demands[1], idle=1e-6, size_of=lambda row: 7)
    chain = left.pipe(
        ops.batch(size),
        ops.join_asof(
            right.pipe(ops.batch(size)),
            by=lambda row: row[0],
            time=lambda row: row[1],
            tolerance=None if tolerance is None else tolerance * 1e-9,
            direction=direction,
            disorder=disorder * 1e-9,
        ),
        ops.batch(size),
        ops.settle(sink),
    )
    report = run(chain)
    assert found == by_pandas(lefts, rights, tolerance, direction)
    assert (report.ok, report.delivered) == (len(lefts) + len(rights),) * 2
    assert (report.failed, report.held, report.left) == (0, 0, 0)
    for demand in demands:
        assert (demand.in_flight, demand.in_flight_bytes) == (0, 0)
        assert demand.peak <= demand.bounds.max_demand
    assert math.isfinite(report.seconds)
