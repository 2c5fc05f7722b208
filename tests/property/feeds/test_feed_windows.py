"""Windows of a feed against a model that looks at one record after another, in runs, and in lives."""

import math
from fractions import Fraction

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streamzarr.feeds import ColumnSpec
from streamzarr.feeds.windows.fold import Arrivals, WindowFold
from streamzarr.feeds.windows.kept import Held
from streamzarr.feeds.windows.spec import WindowSpec
from streamzarr.feeds.windows.values import exact
from streamzarr.flow.windows import Bound, Fixed, Session, Sliding

COLUMNS = {
    "t": ColumnSpec("t", "M8[ns]"),
    "k": ColumnSpec("k", "string"),
    "x": ColumnSpec("x", "f8"),
    "n": ColumnSpec("n", "i4"),
}
VALUES = {"x": "ohlc", "n": "mean"}
SUMS = {"x": "sum", "n": "sum"}
LATENESS, AHEAD = 25, 300
NAMES = ["A", "B", "C"]
kinds = st.sampled_from(
    [Fixed("10ns"), Fixed("7ns", offset="3ns"), Sliding("9ns", "6ns"), Sliding("12ns", "4ns"), Session("8ns")]
)
floats = st.one_of(st.just(math.nan), st.floats(-1e6, 1e6), st.sampled_from([0.1, 1e16, -1e16, 1e300]))
records = st.lists(
    st.tuples(
        st.one_of(st.integers(-3, 12), st.integers(-30, 90), st.integers(-400, 800)),
        st.integers(0, len(NAMES) - 1),
        floats,
        st.integers(-9, 9),
        st.booleans(),
    ),
    max_size=50,
)
steps = st.lists(st.tuples(st.integers(1, 20), st.booleans(), st.booleans()), max_size=20)


def spec_of(kind, values=VALUES, lateness=LATENESS, keys=1000):
    return WindowSpec("t", kind, "k", lateness, AHEAD, None, Bound(keys=keys), values)


def arrivals(given, offsets):
    some = [given[offset] for offset in offsets]
    return Arrivals(
        np.array([time for time, *_ in some], np.int64),
        np.array([key for _, key, *_ in some], np.intp),
        NAMES,
        np.array(offsets, np.int64),
        np.arange(len(offsets)),
        np.array([each[4] for each in some], bool),
        {"x": np.array([each[2] for each in some]), "n": np.array([each[3] for each in some], "i4")},
    )


class Lives:
    """A fold whose closed windows are stored with the open ones, and which may begin anew from there."""

    def __init__(self, spec, given):
        self.spec, self.given = spec, given
        self.outputs = spec.outputs(COLUMNS)
        self.rows, self.bad = [], set()
        self.stored = (0, 0, frozenset(), msgspec.msgpack.encode(Held(1, fields=self.names)))
        self.begin()

    @property
    def names(self):
        return tuple(each.name for each in self.outputs)

    def begin(self):
        count, self.read, bad, data = self.stored
        del self.rows[count:]
        self.bad = set(bad)
        held = msgspec.msgpack.decode(data, type=Held)
        panes = held.accumulators(self.outputs)
        self.fold = WindowFold(self.spec, self.outputs, newest=held.newest, mark=held.mark, panes=panes)

    def take(self, count):
        offsets = list(range(self.read, min(self.read + count, len(self.given))))
        if offsets:
            taken = self.fold.take(arrivals(self.given, offsets), 2**62)
            self.bad |= {offsets[record] for record in taken.bad}
            self.rows += taken.closed
            self.read += len(offsets)

    def store(self):
        held = Held(
            1, fields=self.names, newest=self.fold.newest, mark=self.fold.mark, panes=self.fold.dump()
        )
        self.stored = (len(self.rows), self.read, frozenset(self.bad), msgspec.msgpack.encode(held))

    def live(self, steps):
        for count, store, crash in steps:
            self.take(count)
            if store:
                self.store()
            if crash:
                self.begin()
        while self.read < len(self.given):
            self.take(7)
        return self.rows

    def all(self, steps=()):
        """Return all windows as rows, the open ones at the end."""
        rows = self.spec.rows([*self.live(steps), *self.fold.close()], self.outputs)
        return {name: values.tolist() for name, values in rows.items()}


def model(given, kind, lateness, room):
    """Return windows in the order of their closing, with their rows, and the bad records."""
    open_, closed, bad, latest = {}, [], set(), None
    for number, (time, key, _, _, timely) in enumerate(given):
        latest = time if latest is None else latest
        most = 2**62 if timely else AHEAD
        mark = latest - lateness
        windows, gone = kind.windows(time), []
        over = time < mark if isinstance(kind, Session) else windows[0].stop <= mark
        if isinstance(kind, Session):
            gone = [(k, w) for k, w in open_ if k == key and w[0] < windows[0][1] and windows[0][0] < w[1]]
        new = [window for window in windows if (key, window) not in open_] if not gone else []
        here = max(latest, time) if time <= latest + most else latest
        closed += closing(open_, here - lateness)
        if over or time > latest + most or len(open_) + len(new) > room:
            bad.add(number)
        elif gone:
            rows = sorted([number, *(each for pane in gone for each in open_.pop(pane))])
            spans = [*windows, *(window for _, window in gone)]
            open_[key, (min(s[0] for s in spans), max(s[1] for s in spans))] = rows
        else:
            for window in windows:
                open_.setdefault((key, window), []).append(number)
        latest = here
    return closed + sorted(open_.items(), key=lambda each: in_order(each[0])), bad


def closing(open_, mark):
    over = [pane for pane in open_ if pane[1][1] <= mark]
    return [(pane, open_.pop(pane)) for pane in sorted(over, key=in_order)]


def in_order(pane):
    key, window = pane
    return window[1], window[0], key


def by_time(given, rows):
    return sorted(rows, key=lambda number: (given[number][0], number))


def expected(given, rows):
    """Return the values of a window, by its rows."""
    rows = by_time(given, rows)
    xs = [given[number][2] for number in rows if not math.isnan(given[number][2])]
    ns = [given[number][3] for number in rows]
    return {
        "count": len(rows),
        "x_open": xs[0] if xs else math.nan,
        "x_close": xs[-1] if xs else math.nan,
        "x_high": max(xs, default=math.nan),
        "x_low": min(xs, default=math.nan),
        "n": float(Fraction(sum(ns), len(ns))),
        "n_count": len(ns),
    }


@settings(deadline=None)
@given(kinds, records, steps, st.sampled_from([0, LATENESS]), st.sampled_from([3, 8, 1000]))
def test_windows_are_those_of_the_model(kind, given, steps, lateness, room):
    times = np.cumsum([each[0] for each in given]).tolist()
    given = [(time, *each[1:]) for time, each in zip(times, given, strict=True)]
    lives = Lives(spec_of(kind, lateness=lateness, keys=room), given)
    found = lives.all(steps)
    windows, bad = model(given, kind, lateness, room)
    assert lives.bad == bad
    assert found["k"] == [NAMES[key] for (key, _), _ in windows]
    assert found["begin"] == [window[0] for (_, window), _ in windows]
    assert found["end"] == [window[1] for (_, window), _ in windows]
    for place, (_, rows) in enumerate(windows):
        for name, value in expected(given, rows).items():
            np.testing.assert_equal(found[name][place], value)


@settings(deadline=None)
@given(
    kinds,
    st.lists(
        st.tuples(st.integers(0, 200), st.integers(0, 2), floats, st.integers(-9, 9), st.just(False)),
        max_size=50,
    ),
    st.randoms(use_true_random=False),
    steps,
)
def test_records_shuffled_within_the_lateness_give_the_same_rows(kind, given, chance, steps):
    given.sort(key=lambda each: each[0])
    times = {time: place for place, (time, *_) in enumerate(given)}  # one record of a time: the last
    given = [given[place] for place in times.values()]
    given += given[::3]  # what the source has twice
    in_order = sorted(given, key=lambda each: each[0])
    shuffled = sorted(given, key=lambda each: each[0] + chance.uniform(0, LATENESS))
    plain, other = (Lives(spec_of(kind, SUMS), each) for each in (in_order, shuffled))
    np.testing.assert_equal(other.all(steps), plain.all())
    assert not other.bad


@given(kinds, st.lists(st.integers(-100, 100), min_size=1, max_size=30))
def test_moments_as_columns_are_in_the_windows_of_each(kind, given):
    moments = np.array(sorted(given), np.int64)
    stops = kind.first_stops(moments).tolist()
    goes_on = kind.go_on(moments).tolist()
    for at, moment in enumerate(moments.tolist()):
        if isinstance(kind, Session):
            assert stops[at] == moment + 1
            assert not at or goes_on[at - 1] == (moment - moments[at - 1] < 8)
            assert kind.around(moment, moment + 5) == ((moment, moment + 13),)
        else:
            assert stops[at] == kind.windows(moment)[0].stop
            assert kind.around(moment, moment) == kind.windows(moment)
            if at and goes_on[at - 1]:
                assert kind.windows(moment) == kind.windows(int(moments[at - 1]))


@given(st.lists(floats.filter(lambda value: not math.isnan(value))), st.integers(0, 50))
def test_a_sum_is_exact_however_it_is_divided(given, cut):
    whole, halves = exact(given), exact([*exact(given[:cut]), *exact(given[cut:])])
    assert whole == halves
    assert sum(map(Fraction, whole)) == sum(map(Fraction, given))
