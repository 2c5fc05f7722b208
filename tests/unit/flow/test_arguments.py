"""What is told to whoever gives the flow something that does not fit: every public parameter, one by one."""

import inspect

import numpy as np
import pytest
import reactivex

from streamzarr import flow
from streamzarr.errors import ConfigError
from streamzarr.flow import (
    Blocking,
    Control,
    Demand,
    ManualDemand,
    Rate,
    Stop,
    Workers,
    dispatch,
    from_iterable,
    ops,
    run,
    windows,
)
from streamzarr.flow.arguments import shown
from streamzarr.testing.broker_fake import FakeBroker
from streamzarr.zarr import create_array
from tests.support.asynchronous import SYNC, Awaited, awaited, numbers

INTEGER = "an integer of at least {}"
BYTES = "bytes, an integer of at least 1 or text such as '64MB'"
TEXT = "text that is not empty"
SECONDS = "a number of seconds, at least 0"
SOME_SECONDS = "a number of seconds, more than 0"
SPAN = "seconds, at least 0, or text such as '10s', '1min', '250ms'"
SOME_SPAN = "seconds, more than 0, or text such as '10s', '1min', '250ms'"
DEMAND = "a Demand, e.g. Demand(10)"
WINDOW = 'one of windows, e.g. windows.Fixed("1min")'
RETRY = "a RetryPolicy, e.g. RetryPolicy(attempts=5)"
BROKER = "a Broker, as streamzarr.queue.open_broker(url) returns"
COMMITTER = "a Committer, e.g. a WindowState"
CHAIN = "a chain: a source of streamzarr.flow, and operators"
BRANCHES = "lists of operators by name, at least one"
SIZED = [("size_of", 3, "a function")]
STAGE = [("stage", "", TEXT), ("stage", 3, TEXT)]
RUNTIME = [("runtime", "fast", "a Runtime, e.g. streamzarr.runtime.SYSTEM")]
SOURCE = [
    ("demand", 10, DEMAND),
    ("stop", 3, "a Stop, or None"),
    ("on_turn", 3, "a function, or None"),
    ("on_turn", awaited, f"{SYNC}, or None"),
]
STEERING = [
    ("observable", ops.settle(), CHAIN),
    ("stop", 3, "a Stop, or None"),
    ("control", Stop(), "a Control, or None"),
    ("drain", -1, SECONDS),
    ("drain", "1s", SECONDS),
    *RUNTIME,
]
GROUPS = [
    ("size", 1.5, "an integer of at least 1, or None"),
    ("size", True, "an integer of at least 1, or None"),
    ("bytes", "much", f"{BYTES}, or None"),
    ("bytes", 0, f"{BYTES}, or None"),
    ("timeout", -1, f"{SPAN}, or None"),
    ("timeout", "soon", f"{SPAN}, or None"),
    ("until", 3, "a function, or None"),
    ("by", "keys", '"key", or None'),
    *STAGE,
]
TOPIC = [
    ("broker", "sqlite:///queue.db", BROKER),
    ("topic", None, f"{TEXT}, or one or more of them"),
    ("topic", ["ticks", ""], f"{TEXT}, or one or more of them"),
    ("group", "", TEXT),
    ("commit_every", -1, f"{SECONDS}, or None"),
    ("drain_timeout", 0, f"{SOME_SECONDS}, or None"),
    ("poll_timeout", 0, SOME_SECONDS),
    ("gather", -0.1, SECONDS),
    ("session_timeout", "10s", SOME_SECONDS),
    ("on_gap", "ignore", '"fail" or "skip"'),
    ("on_rebalance", [], "a function, or None"),
    ("on_pause", [], "a function, or None"),
    ("committer", "file:x", f"{COMMITTER}, or None"),
    ("remember", "yes", "True or False"),
    ("instance", "", f"{TEXT}, or None"),
    *SOURCE,
]
SOME_BRANCHES = [
    ("branches", {}, BRANCHES),
    ("branches", [], BRANCHES),
    ("branches", {"a": ops.map(len)}, BRANCHES),
    ("branches", {"a": ["map"]}, BRANCHES),
    ("branches", {1: []}, BRANCHES),
]


class Own(flow.Overflow):
    def put(self, item, *, wait=True):
        pass


TARGETS = {
    f"{prefix}{name}": getattr(module, name)
    for prefix, module in (("", flow), ("ops.", ops), ("windows.", windows), ("dispatch.", dispatch))
    for name in module.__all__
    if name not in ("ops", "windows")
}
TARGETS["ops.drop_if"], TARGETS["ops.flat_map"] = ops.drop_if, ops.flat_map
METHODS = {
    "Stop.drain": Stop().drain,
    "Control.barrier": Control().barrier,
    "Rate.set": Rate(messages=1).set,
    "Workers.resize": Workers(1).resize,
    "ManualDemand.request": ManualDemand(1).request,
}
TARGETS |= METHODS

NOT_MADE_BY_USERS = {
    *("Batch", "Failure", "Message", "RunReport", "ops.Joined", "windows.Result", "windows.Window"),
    *("dispatch.Consumer", "dispatch.Sent", "dispatch.Dispatcher", "ops.Report", "ops.Sink", "ops.DONE"),
    *("Committer", "Credits", "Pause", "PausedPartition"),
}
"""Values that chains make, what stands for types only, and what is there to be implemented."""
WITHOUT_PARAMETERS = {"ops.Done", "windows.Global", "dispatch.by_demand"}
TAKES_ANYTHING = {
    ("ops.reduce", "initial"),
    ("ops.departition", "initial"),
    ("from_array", "region"),  # a selection: what it cannot be is an IndexError, as in numpy
}

VALID = {
    "DeadLetterLimit": {},
    "ops.combine": {"fn": len, "size": 1},
    "ops.batch": {"size": 1},
    "ops.charge": {"size_of": len},
    "ops.filter": {"predicate": bool},
    "ops.drop_if": {"predicate": bool},
    "ops.departition": {"fold": max, "initial": 0},
    "ops.reduce": {"fold": max, "initial": 0},
    "ops.route": {"fn": str, "branches": {"a": []}},
    "ops.broadcast": {"branches": {"a": []}},
    "ops.join_asof": {"other": reactivex.empty(), "by": len},
    "ops.rate_limit": {"rate": Rate(messages=1)},
    "ops.settle": {},
    "ops.Again": {},
    "ops.Failed": {"error": ValueError()},
    "from_iterable": {"items": [], "demand": Demand(1)},
    "from_pull": {"pull": list, "demand": Demand(1)},
    "from_async_iterable": {"items": numbers(), "demand": Demand(1)},
    "from_observable": {"observable": reactivex.empty(), "demand": Demand(1), "overflow": Blocking(1)},
    "from_array": {"array": create_array("memory://", shape=(2,), dtype="i4"), "demand": Demand(1)},
    "from_lines": {"paths": "lines.txt", "demand": Demand(1)},
    "from_topic": {"broker": FakeBroker(), "topic": "t", "group": "g", "demand": Demand(1)},
    "from_topic_columns": {"broker": FakeBroker(), "topic": "t", "group": "g", "demand": Demand(1)},
    "LagDemand": {"broker": FakeBroker(), "topic": "t", "group": "g", "max_lag": 1},
    "Demand": {"max_demand": 2},
    "ManualDemand": {"max_demand": 2},
    "Rate": {"messages": 1},
    "Spill": {},
    "Spilling": {"size": 1, "max_bytes": 1},
    "WindowState": {"url": "memory://"},
    "windows.Fixed": {"size": 1},
    "windows.Sliding": {"size": 1, "every": 1},
    "windows.Bound": {},
    "windows.When": {"predicate": bool},
    "run": {"observable": reactivex.empty()},
    "iter": {"observable": reactivex.empty()},
    "aiter": {"observable": reactivex.empty()},
    "dispatch.by_key": {"key": len},
    "dispatch.broadcast": {},
    "Control": {},
    "Stop": {},
    "Workers": {},
    "Blocking": {"size": 1},
    "Refusing": {"size": 1},
    "Overflow": {"size": 1, "runtime": None},
    "windows.Every": {"count": 1},
    "windows.After": {"seconds": 1},
    "windows.Periodic": {"every": 1},
    "windows.Session": {"gap": 1},
    "windows.Count": {"size": 1},
    "Rate.set": {"messages": 1},
}

FITS_NOT = {
    **{
        f"ops.{name}": [("fn", 3, "a function"), ("fn", awaited, SYNC), *STAGE]
        for name in ["map", "map_batch", "map_messages", "partition_by", "split", "flat_map", "tap", "decode"]
    },
    **{
        f"ops.{name}": [("predicate", "x", "a function"), ("predicate", Awaited(), SYNC), *STAGE]
        for name in ("filter", "drop_if")
    },
    "ops.batch": GROUPS,
    "ops.combine": [("fn", None, "a function"), *GROUPS],
    "ops.charge": [("size_of", 3, "a function"), *STAGE],
    "ops.departition": [
        ("fold", 0, "a function"),
        ("result", "mean", "a function, or None"),
        ("size_of", 8, "a function"),
        *STAGE,
    ],
    "ops.dispatch": [
        ("fn", awaited, SYNC),
        ("workers", 0, f"{INTEGER.format(1)}, or Workers, or None"),
        ("processes", 1.5, f"{INTEGER.format(1)}, or Workers, or None"),
        ("ordered", "yes", "True or False"),
        ("by", "keys", '"key", or what makes a Dispatcher, such as dispatch.by_demand, or None'),
        ("by", ["key"], '"key", or what makes a Dispatcher, such as dispatch.by_demand, or None'),
        ("spill", "1GB", 'a Spill, e.g. Spill("1GB"), or None'),
        ("retry", 5, f"{RETRY}, or None"),
        ("is_transient", OSError(), "a function"),
        *STAGE,
    ],
    "ops.reduce": [
        ("fold", 3, "a function"),
        ("window", "1min", f"{WINDOW}, or None"),
        ("merge", 0, "a function, or None"),
        ("result", 0, "a function, or None"),
        ("time", "timestamp", "a function, or None"),
        ("disorder", -1, SPAN),
        ("idle", 0, f"{SOME_SPAN}, or None"),
        ("trigger", 3, "windows.Every, After or When, or several"),
        ("trigger", ["often"], "windows.Every, After or When, or several"),
        ("lateness", "late", SPAN),
        ("late", "", f"{TEXT}, or None"),
        ("max_ahead", "soon", f"{SPAN}, or None"),
        ("bound", 1000, "a windows.Bound, e.g. windows.Bound(keys=1000), or None"),
        ("state", "s3://bucket", 'a WindowState, e.g. WindowState("s3://bucket/state"), or None'),
        ("size_of", 8, "a function"),
        *STAGE,
    ],
    "ops.route": [("fn", "key", "a function"), *SOME_BRANCHES, *STAGE],
    "ops.broadcast": [
        *SOME_BRANCHES,
        ("selectors", {"a": 3}, "functions by the names of branches, or None"),
        ("selectors", [bool], "functions by the names of branches, or None"),
        *STAGE,
    ],
    "ops.join_asof": [
        ("other", [], "another source, with or without operators"),
        ("by", "key", "a function"),
        ("time", 3, "a function, or None"),
        ("right_by", 3, "a function, or None"),
        ("right_time", 3, "a function, or None"),
        ("tolerance", -1, f"{SPAN}, or None"),
        ("direction", "sideways", '"backward" or "forward" or "nearest"'),
        ("disorder", "x", SPAN),
        ("idle", 0, f"{SOME_SPAN}, or None"),
        ("wait", -1, f"{SPAN}, or None"),
        ("late", "", f"{TEXT}, or None"),
        ("max_rows", 0, INTEGER.format(1)),
        *STAGE,
    ],
    "ops.rate_limit": [("rate", 1000, "a Rate, e.g. Rate(messages=1_000)")],
    "ops.settle": [
        ("sink", awaited, f"{SYNC}, or None"),
        ("dead_letters", [], "a function, or None"),
        ("retry", None, RETRY),
        ("is_transient", 3, "a function"),
        ("contact", "kafka://", "the contact of a broker, e.g. broker.contact, or None"),
        ("target", "/disk", "the contact of a store, e.g. Contact(store.url), or None"),
        ("limit", 3, "a DeadLetterLimit, e.g. DeadLetterLimit(in_a_row=10), or None"),
        *STAGE,
    ],
    "ops.Again": [("after", -5, SECONDS), ("after", float("nan"), SECONDS), ("after", True, SECONDS)],
    "ops.Failed": [("error", "bad", "an exception")],
    "from_iterable": [
        ("items", 5, "an iterable"),
        ("items", numbers(), "an iterable, or from_async_iterable"),
        ("batch", 0, INTEGER.format(1)),
        *SIZED,
        *SOURCE,
    ],
    "from_pull": [("pull", [], "a function"), ("idle", 0, SOME_SECONDS), *SIZED, *SOURCE],
    "from_async_iterable": [
        ("items", numbers, "an async iterable, e.g. an async generator"),
        ("loop", True, "an event loop, or None"),
        *SIZED,
        *SOURCE,
    ],
    "from_observable": [
        ("observable", [], "an Observable of RxPY"),
        ("overflow", 1000, "a Blocking, Spilling or Refusing buffer, e.g. Blocking(1000)"),
        *SIZED,
        *SOURCE,
    ],
    "from_array": [
        ("array", np.zeros(2), "an Array, as streamzarr.zarr.open_array(url) returns"),
        ("where", 3, "a function, or None"),
        ("concurrency", 0, "an integer of at least 1, or None"),
        *SOURCE,
    ],
    "from_lines": [
        ("paths", [], "a path, or several"),
        ("paths", 3, "a path, or several"),
        ("start", {"a": -1}, "positions in bytes by path, or None"),
        ("batch", 0, INTEGER.format(1)),
        ("max_line", 0, BYTES),
        ("growing", "yes", "True or False"),
        *SOURCE,
    ],
    "from_topic": TOPIC,
    "from_topic_columns": TOPIC,
    "Demand": [
        ("max_demand", 1.5, INTEGER.format(1)),
        ("max_demand", True, INTEGER.format(1)),
        ("min_demand", -1, "an integer of at least 0, or None"),
        ("max_bytes", "much", f"{BYTES}, or None"),
        *RUNTIME,
    ],
    "ManualDemand": [("max_demand", "9", INTEGER.format(1)), ("max_bytes", 0, f"{BYTES}, or None"), *RUNTIME],
    "ManualDemand.request": [("count", 0, INTEGER.format(1)), ("count", -1, INTEGER.format(1))],
    "LagDemand": [
        ("broker", "kafka://me:hunter2@b1:9092", BROKER),
        ("topic", "", TEXT),
        ("group", None, TEXT),
        ("max_lag", 0, INTEGER.format(1)),
        ("min_lag", -1, "an integer of at least 0, or None"),
        ("refresh", 0, SOME_SECONDS),
        ("stale_after", "10s", SOME_SECONDS),
        *RUNTIME,
    ],
    **{
        name: [
            ("messages", 0, "a number, more than 0, or None"),
            ("messages", float("nan"), "a number, more than 0, or None"),
            ("bytes", -1, "bytes a second, more than 0, or text such as '10MB', or None"),
            ("bytes", "fast", "bytes a second, more than 0, or text such as '10MB', or None"),
        ]
        for name in ("Rate", "Rate.set")
    },
    "Spill": [
        ("max_bytes", 0, BYTES),
        ("share", 0, INTEGER.format(1)),
        ("directory", 3, "a path or a URL, or None"),
        ("encode", "json", "a function, or None"),
        ("decode", "json", "a function, or None"),
    ],
    "Spilling": [
        ("size", 0, INTEGER.format(1)),
        ("max_bytes", -1, BYTES),
        ("directory", "", "a path or a URL, or None"),
        ("encode", 3, "a function, or None"),
        ("decode", 3, "a function, or None"),
        *RUNTIME,
    ],
    **{name: [("size", 0, INTEGER.format(1)), *RUNTIME] for name in ("Blocking", "Refusing", "Overflow")},
    "Workers": [("size", 0, INTEGER.format(1)), ("size", -1, INTEGER.format(1)), *RUNTIME],
    "Workers.resize": [("size", 0, INTEGER.format(1))],
    "Control": [("start_paused", "yes", "True or False"), *RUNTIME],
    "Control.barrier": [("timeout", None, SECONDS), ("timeout", -1, SECONDS)],
    "Stop": RUNTIME,
    "Stop.drain": [("timeout", "30s", SECONDS), ("timeout", -1, SECONDS)],
    "run": [*STEERING, ("install_signal_handlers", "yes", "True or False")],
    "iter": STEERING,
    "aiter": STEERING,
    "WindowState": [
        ("url", None, "a path or a URL"),
        ("every", 0, SOME_SECONDS),
        ("encode", 3, "a function, or None"),
        ("decode", 3, "a function, or None"),
        ("max_bytes", "much", BYTES),
        *RUNTIME,
    ],
    "windows.Fixed": [("size", 0, SOME_SPAN), ("offset", "x", SPAN)],
    "windows.Sliding": [("size", "1 parsec", SOME_SPAN), ("every", -1, SOME_SPAN)],
    "windows.Periodic": [("every", True, SOME_SPAN)],
    "windows.Session": [("gap", 0, SOME_SPAN)],
    "windows.Count": [("size", 2.0, INTEGER.format(1))],
    "windows.Every": [("count", 0, INTEGER.format(1)), ("reset", 1, "True or False")],
    "windows.After": [("seconds", 0, SOME_SPAN), ("reset", "no", "True or False")],
    "windows.When": [("predicate", 3, "a function"), ("reset", None, "True or False")],
    "windows.Bound": [
        ("keys", 0, INTEGER.format(1)),
        ("nbytes", 0, BYTES),
        ("then", "drop", '"fail" or "early"'),
    ],
    "dispatch.by_key": [
        ("key", "key", "a function"),
        ("n", 0, "an integer of at least 1, or None"),
        ("credit", 0, INTEGER.format(1)),
    ],
    "dispatch.broadcast": [("selector", True, "a function, or None")],
    "DeadLetterLimit": [
        ("in_a_row", -1, "an integer of at least 0, or None"),
        ("ratio", 1.5, "a number from 0 to 1, or None"),
        ("ratio", True, "a number from 0 to 1, or None"),
        ("of", 0, "an integer of at least 1"),
        ("probe_after", 0, SOME_SECONDS),
        ("probe_longest", "10s", SOME_SECONDS),
        ("is_environmental", [OSError], "a function"),
    ],
}
FITS_NOT["Rate"] = [*FITS_NOT["Rate"], ("burst", 0, SOME_SECONDS), *RUNTIME]


def call(name, parameter, value):
    target = Own if name == "Overflow" else TARGETS[name]
    first = "predicate" if name in ("ops.filter", "ops.drop_if") else "fn"
    valid = VALID.get(name, {} if name in METHODS else {first: len})
    return target(**{**valid, parameter: value})


@pytest.mark.parametrize(
    ("name", "parameter", "value", "expected"),
    [
        pytest.param(name, *case, id=f"{name}-{case[0]}-{number}")
        for name, cases in FITS_NOT.items()
        for number, case in enumerate(cases)
    ],
)
def test_what_does_not_fit_is_told_with_what_was_got_and_expected(name, parameter, value, expected):
    where = "ops.split" if name == "ops.flat_map" else name
    with pytest.raises(ConfigError) as raised:
        call(name, parameter, value)
    assert str(raised.value) == f"{where}: {parameter} is {shown(value)}, expected {expected}"


def test_every_public_name_and_parameter_is_in_the_table():
    assert set(FITS_NOT) | WITHOUT_PARAMETERS | NOT_MADE_BY_USERS == set(TARGETS)
    covered = {(name, parameter) for name, cases in FITS_NOT.items() for parameter, *_ in cases}
    named = {
        (name, parameter.name)
        for name in FITS_NOT
        for parameter in inspect.signature(TARGETS[name]).parameters.values()
        if parameter.kind is not parameter.VAR_KEYWORD
    }
    assert named - TAKES_ANYTHING <= covered


@pytest.mark.parametrize(
    "name", sorted(name for name in FITS_NOT if name not in METHODS and not name.startswith("ops.flat"))
)
def test_what_is_nothing_known_fits_no_parameter(name):
    class Nothing:
        __hash__ = None

    for parameter in {parameter for parameter, *_ in FITS_NOT[name]}:
        with pytest.raises(
            ConfigError, match=rf"^{name}: {parameter} is <.*Nothing object at .*>, expected "
        ):
            call(name, parameter, Nothing())


@pytest.mark.parametrize(
    "name", sorted(name for name in TARGETS if name.startswith("ops.") and name[4:5].islower())
)
def test_an_operator_that_was_not_called_is_told(name):
    called = "ops.split" if name == "ops.flat_map" else name
    with pytest.raises(
        ConfigError, match=rf"^{called} was given to pipe\(\) without a call, expected {called}"
    ):
        from_iterable([], Demand(1)).pipe(TARGETS[name])


def test_an_operator_that_was_not_called_is_told_of_a_branch_as_well():
    chain = from_iterable([1], Demand(1)).pipe(ops.route(lambda message: "a", {"a": [ops.settle]}))
    with pytest.raises(ConfigError, match=r"ops\.settle was given to pipe"):
        run(chain)
