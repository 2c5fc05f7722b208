"""Slots against a model that looks at one record after another, however they come together and start anew."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamzarr.feeds import ColumnSpec
from streamzarr.feeds.grid.fold import Arrivals, GridFold
from streamzarr.feeds.grid.spec import GridSpec, Output
from streamzarr.feeds.grid.values import Values

COLUMNS = {
    "t": ColumnSpec("t", "M8[ns]"),
    "x": ColumnSpec("x", "f8"),
    "n": ColumnSpec("n", "i4"),
}
STEP, LATENESS, AHEAD, KEYS = 10, 25, 300, 3
VALUES = {"x": "ohlc", "n": "sum"}
SPEC = GridSpec("t", STEP, "k", KEYS, LATENESS, AHEAD, VALUES)
OUTPUTS = GridSpec("t", STEP, None, KEYS, LATENESS, AHEAD, VALUES).outputs(COLUMNS)

records = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 60), st.integers(-400, 800)),
        st.integers(-1, KEYS - 1),
        st.one_of(st.just(math.nan), st.integers(-50, 50).map(float)),
        st.integers(-9, 9),
        st.booleans(),
    ),
    max_size=60,
)


def model(given):
    """Return slots by (slot, key), the bad records, and how many slots are closed: one record at a time."""
    slots, bad, latest, base = {}, set(), None, None
    for number, (_, key, x, n, timely) in enumerate(given):
        time = sum(each[0] for each in given[: number + 1])
        latest = time if latest is None else latest
        slot, most = time // STEP, SPEC.longest_gap if timely else AHEAD
        if key < 0 or slot < (latest - LATENESS) // STEP or time > latest + most:
            bad.add(number)
        else:
            slots.setdefault((slot, key), []).append((number, x, n))
            base = slot if base is None else min(base, slot)
        if latest < time <= latest + most:
            latest = time
    return slots, bad, latest, base


def arrivals(given, offsets):
    times = np.cumsum([each[0] for each in given], dtype=np.int64)[offsets]
    some = [given[offset] for offset in offsets]
    return Arrivals(
        times,
        np.array([each[1] for each in some], np.intp),
        np.array(offsets, np.int64),
        np.arange(len(offsets)),
        np.array([each[4] for each in some], bool),
        {"x": np.array([each[2] for each in some]), "n": np.array([each[3] for each in some], "i4")},
    )


class Lives:
    """A fold whose closed slots are stored with a position, and which may begin anew from there.

    With `bars` only those that have records are stored.
    """

    def __init__(self, given, bars):
        self.bars = bars
        self.given, self.rows, self.bad = given, [], {}
        self.stored = (0, 0, 0, None, {})  # rows, read, open, latest, bad
        self.begin()

    def begin(self):
        count, read, opened, latest, bad = self.stored
        del self.rows[count:]
        self.bad = dict(bad)
        closed = int(self.rows[-1]["time"].astype(np.int64)) // STEP + 1 if self.rows else None
        self.fold = GridFold(SPEC, OUTPUTS, closed=closed, latest=latest)
        self.known, self.read = read, opened

    def take(self, count):
        offsets = list(range(self.read, min(self.read + count, len(self.given))))
        if not offsets:
            return
        some = arrivals(self.given, offsets)
        judgement = self.fold.judge(some)
        found = {offsets[record]: why for record, why in judgement.bad.items()}
        self.bad |= {offset: why for offset, why in found.items() if offset >= self.known}
        for block in self.fold.take(some, judgement):
            self.rows += [
                {name: values[row] for name, values in block.items()}
                for row in range(len(block["time"]))
                if block["count"][row].any() or not self.bars
            ]
        self.read += len(offsets)

    def store(self):
        opened, latest = self.fold.resume(self.read)
        before = self.stored
        self.stored = (len(self.rows), max(self.read, self.known), opened, latest, dict(self.bad))
        assert opened >= before[2], "the position goes back"
        assert latest is None or before[3] is None or latest >= before[3]


@given(
    records, st.lists(st.tuples(st.integers(1, 20), st.booleans(), st.booleans()), max_size=30), st.booleans()
)
def test_slots_are_those_of_the_model(given, steps, bars):
    lives = Lives(given, bars)
    for count, store, crash in steps:
        lives.take(count)
        if store:
            lives.store()
        if crash:
            lives.begin()
    while lives.read < len(given):
        lives.take(7)
    slots, bad, latest, base = model(given)
    assert set(lives.bad) == bad
    closed = [] if base is None else range(base, max(base, (latest - LATENESS) // STEP))
    if bars:
        closed = [slot for slot in closed if any((slot, key) in slots for key in range(KEYS))]
    assert [int(row["time"].astype(np.int64)) // STEP for row in lives.rows] == list(closed)
    for slot, row in zip(closed, lives.rows, strict=True):
        for key in range(KEYS):
            found = slots.get((slot, key), [])
            xs = [x for _, x, _ in found if not math.isnan(x)]
            expected = {
                "count": len(found),
                "n": sum(n for _, _, n in found),
                "x_open": xs[0] if xs else math.nan,
                "x_close": xs[-1] if xs else math.nan,
                "x_high": max(xs, default=math.nan),
                "x_low": min(xs, default=math.nan),
            }
            for name, value in expected.items():
                np.testing.assert_equal(float(row[name][key]), float(value))


@given(
    st.lists(st.tuples(st.integers(0, 5), st.sampled_from([math.nan, 1.0, 2.5, -3.0])), max_size=30),
    st.integers(0, 30),
    st.sampled_from(["last", "first", "min", "max", "sum", "mean", "count"]),
)
def test_values_that_come_when_their_slots_are_closed_are_as_if_they_came_last(given, cut, how):
    fill = 0 if how in ("sum", "count") else math.nan
    output = Output("x", "x", how, np.dtype("u4" if how == "count" else "f8"), fill, {})
    places = np.array([place for place, _ in given], np.intp)
    values = np.array([value for _, value in given], "f8")
    whole, early = Values(output, 2), Values(output, 2)
    for each, stop in ((whole, len(given)), (early, cut)):
        each.grow(3)
        each.fold(places[:stop], values[:stop])
    seen = np.zeros(6, int)
    np.add.at(seen, places[:cut][~np.isnan(values[:cut])], 1)
    late = Values.of(output, early.result(), seen.reshape(3, 2))
    late.fold(places[cut:], values[cut:])
    np.testing.assert_allclose(late.result(), whole.result())
