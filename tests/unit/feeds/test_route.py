"""Which row goes into which target, and what becomes of that when a life ends at the worst moment."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamzarr.errors import ConfigError, StoreError
from streamzarr.feeds import Feed
from streamzarr.feeds.places import target_path
from streamzarr.feeds.route.spec import MAX_FOLDER, RouteSpec, folder_of, grouped, route
from streamzarr.flow.ops.settle import DONE
from streamzarr.stream import open_stream
from tests.support.routes import WHERE, RouteBench, routed

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20) | st.sampled_from(
    ["", ".", "..", "zarr.json", ".zattrs", "p0", "p00003", "%7000", "__x", "a/b", "a b", "A", "a"]
)


@given(st.sets(TEXTS))
def test_no_two_names_have_one_group(names):
    folders = {folder_of(name) for name in names}
    assert len(folders) == len(names)
    for folder in folders - {""}:
        target_path("x", folder)  # can be a node's name
        assert "/" not in folder


@given(st.lists(TEXTS), st.sets(TEXTS), st.integers(1, 5), st.none() | st.just("other"))
def test_what_is_there_stays_and_there_are_never_more_than_there_is_room_for(names, known, room, other):
    spec = RouteSpec("s", room, other)
    found = route(names, known, spec)
    assert found.targets.keys() | found.refused.keys() == set(names)
    assert not found.targets.keys() & found.refused.keys()
    assert all(found.targets[name] == name for name in names if name in known)
    assert not set(found.new) & known
    assert len({*found.new, *known} - {other}) <= max(room, len(known - {other}))
    assert set(found.targets.values()) <= known | set(found.new)
    if other is not None:
        assert not found.refused


@given(st.lists(st.sampled_from("abcd")))
def test_groups_hold_each_row_once_in_order(names):
    found = grouped(names)
    assert {name: [at for at, each in enumerate(names) if each == name] for name in names} == {
        name: rows.tolist() for name, rows in found.items()
    }


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"by": "venue"}, "route: no column 'venue'"),
        ({"by": "x"}, "column 'x' is float64, expected texts or integers"),
        ({"by": "s", "targets": 1001}, "1001 targets, at most 1000"),
        ({"by": "s", "targets": ["a" * (MAX_FOLDER + 1)]}, "too long"),
        ({"by": "s", "room": 3}, "unknown key `room`"),
        ({}, "missing key `by`"),
    ],
)
def test_a_route_that_cannot_be(table, expected):
    with pytest.raises(ConfigError, match=expected):
        routed(route=table)


def test_a_grid_has_no_route():
    grid = {"time": "t", "step": "1s"}
    with pytest.raises(ConfigError, match="a grid and windows have keys"):
        routed(columns={"t": "M8[ns]", "s": "string"}, grid=grid, layout="grid")


def test_a_feed_with_a_route_survives_the_way_to_another_process():
    told = routed(route={"by": "s", "targets": ["a", "b"], "other": "rest"})
    assert Feed.of(told.to_builtins()) == told


@pytest.fixture
def bench():
    return RouteBench()


def test_rows_go_where_their_name_says_and_become_visible_with_the_position(bench):
    bench.send("a", "b", "a", "c/d", "b")
    life = bench.life(routed())
    assert bench.take(life, 0, 5) == [DONE]
    life.commit({WHERE: 5})
    assert (bench.rows("a"), bench.rows("b"), bench.rows("c/d")) == ([0, 2], [1, 4], [3])
    ledger = open_stream(bench.store, "p00000")
    assert (ledger.position, ledger["target"][:].tolist(), ledger["start"][:].tolist()) == (
        5,
        ["a", "b", "c/d"],
        [0, 0, 0],
    )
    bench.life(routed())
    assert bench.begins == 5


def test_a_life_that_ends_before_the_ledger_is_put_doubles_nothing(bench):
    bench.send("a", "b", "a")
    life = bench.life(routed())
    bench.take(life, 0, 3)
    bench.store.failing = "p00000/zarr.json"
    with pytest.raises(StoreError):
        life.commit({WHERE: 3})
    bench.store.failing = ""
    for target in life.owned[WHERE]._open.values():
        target.commit(3)  # those are there, the ledger is not
    bench.send("b", "a")
    life = bench.life(routed())
    assert bench.begins == 0
    bench.take(life, 0, 2)
    bench.take(life, 2, 5)
    life.commit({WHERE: 5})
    assert (bench.rows("a"), bench.rows("b")) == ([0, 2, 4], [1, 3])


def test_a_commit_that_fails_is_made_by_the_next(bench):
    bench.send("a", "b")
    life = bench.life(routed())
    bench.take(life, 0, 2)
    bench.store.failing = "by/b/p00000/zarr.json"
    with pytest.raises(StoreError):
        life.commit({WHERE: 2})
    assert open_stream(bench.store, "p00000").position == 0
    bench.store.failing = ""
    life.commit({WHERE: 2})
    assert open_stream(bench.store, "p00000").position == 2
    assert (bench.rows("a"), bench.rows("b")) == ([0], [1])


def test_targets_to_which_nothing_comes_cost_nothing_and_hold_nothing_back(bench):
    bench.send("a", "b")
    life = bench.life(routed())
    bench.take(life, 0, 2)
    life.commit({WHERE: 2})
    before = open_stream(bench.store, target_path("a", "p00000")).record.seq
    for number in range(2, 6):
        bench.send("b")
        bench.take(life, number, number + 1)
        life.commit({WHERE: number + 1})
    assert open_stream(bench.store, target_path("a", "p00000")).record.seq == before
    bench.life(routed())
    assert bench.begins == 6


def test_a_target_that_comes_later_begins_where_it_came(bench):
    bench.send("a", "b")
    life = bench.life(routed())
    bench.take(life, 0, 1)
    bench.take(life, 1, 2)
    life.commit({WHERE: 2})
    assert open_stream(bench.store, "p00000")["start"][:].tolist() == [0, 1]
    assert (
        open_stream(bench.store, target_path("b", "p00000")).document.group.attributes["streamzarr_feed"][
            "start"
        ]
        == 1
    )


def test_what_has_no_target_has_a_letter(bench):
    bench.send("a", "b", "c", "", "a", "z" * 300)
    life = bench.life(routed(route={"by": "s", "targets": 2}))
    bench.take(life, 0, 6)
    life.commit({WHERE: 6})
    assert (bench.rows("a"), bench.rows("b")) == ([0, 4], [1])
    assert bench.letters == {
        2: "there is no room for a target c, 2 are there",
        3: "s is empty, which names no target",
        5: f"s is '{'z' * 50}'..., too long for the name of a target",
    }
    assert bench.broker.describe("t.dead").end == {0: 3}


def test_what_has_no_target_goes_where_it_is_told(bench):
    bench.send("a", "b", "c", "", "a")
    life = bench.life(routed(route={"by": "s", "targets": ["a"], "other": "rest"}))
    bench.take(life, 0, 5)
    life.commit({WHERE: 5})
    assert (bench.rows("a"), bench.rows("rest"), bench.letters) == ([0, 4], [1, 2, 3], {})


@pytest.mark.parametrize(
    "later", [{"by": "s", "targets": ["a", "b"], "other": "rest"}, {"by": "s", "other": "misc"}]
)
def test_other_targets_in_a_later_life_take_nothing_that_was_taken(bench, later):
    bench.send("a", "b", "c")
    life = bench.life(routed(route={"by": "s", "targets": ["a"], "other": "rest"}))
    bench.take(life, 0, 3)
    for target in life.owned[WHERE]._open.values():
        target.commit(3)  # and there the life ends
    bench.send("b", "c")
    life = bench.life(routed(route=later))
    assert bench.begins == 0
    bench.take(life, 0, 5)
    life.commit({WHERE: 5})
    assert (bench.rows("a"), bench.rows("rest")[:2], bench.rows("b")) == ([0], [1, 2], [3])


def test_a_target_that_is_there_stays_whatever_is_told_later(bench):
    bench.send("a", "b")
    life = bench.life(routed())
    bench.take(life, 0, 2)
    life.commit({WHERE: 2})
    bench.send("a", "b", "c")
    life = bench.life(routed(route={"by": "s", "targets": ["a"]}))
    bench.take(life, 2, 5)
    life.commit({WHERE: 5})
    assert (bench.rows("a"), bench.rows("b"), [*bench.letters]) == ([0, 2], [1, 3], [4])


def test_routed_by_another_column_it_stops(bench):
    bench.life(routed())
    with pytest.raises(ConfigError, match="routed by 's', and the feed says by 'x'"):
        bench.life(routed(route={"by": "x"}, columns={"s": "string", "x": "i8"}))


def test_a_target_of_a_name_is_not_for_others(bench):
    bench.send("a")
    life = bench.life(routed())
    bench.take(life, 0, 1)
    life.commit({WHERE: 1})
    with pytest.raises(ConfigError, match="a target of rows of this name alone"):
        bench.life(routed(route={"by": "s", "other": "a"}))


def test_more_targets_than_fit_into_memory(bench):
    names = [f"n{number % 7}" for number in range(60)]
    bench.send(*names)
    life = bench.life(routed(target={"max_bytes": 30_000, "chunk_rows": 400}))  # two of them
    for start in range(0, 60, 10):
        bench.take(life, start, start + 10)
        assert len(life.owned[WHERE]._open) <= life.owned[WHERE]._most_open < 7
    life.commit({WHERE: 60})
    for name in set(names):
        assert bench.rows(name) == [at for at, each in enumerate(names) if each == name]


def test_a_sorted_column_is_sorted_in_each_target(bench):
    columns = {"s": "string", "x": {"dtype": "f8", "sorted": True}}
    for name, x in (("a", 5), ("b", 1), ("a", 4), ("b", 2)):
        bench.broker.append("t", 0, b'{"s": "%s", "x": %d}' % (name.encode(), x))
    life = bench.life(routed(columns=columns))
    bench.take(life, 0, 4)
    life.commit({WHERE: 4})
    assert (bench.rows("a"), bench.rows("b"), [*bench.letters]) == ([0], [1, 3], [2])


def test_a_record_of_several_targets_is_in_all_of_them_or_in_none(bench):
    bench.broker.append(
        "t", 0, b'[{"s": "a", "x": 1}, {"s": "b", "x": 2}]', b'[{"s": "a", "x": 3}, {"s": "", "x": 4}]'
    )
    life = bench.life(routed())
    bench.take(life, 0, 2)
    life.commit({WHERE: 2})
    assert (bench.rows("a"), bench.rows("b"), [*bench.letters]) == ([0], [0], [1])
