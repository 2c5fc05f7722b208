"""Windows kept in a store: what is stored, who may store it, and chains that go on from it."""

import enum
import json

import msgspec
import numpy as np
import pytest

from streamzarr.errors import (
    ConfigError,
    FencedError,
    KeyNotFoundError,
    LimitExceededError,
    MessageError,
    PreconditionFailedError,
    StoreError,
    UnsupportedError,
)
from streamzarr.flow import Demand, Stop, WindowState, from_iterable, from_topic, ops, run, windows
from streamzarr.flow.acknowledge import Hold, Receipt
from streamzarr.flow.delivery import Fate
from streamzarr.flow.ops import keeping
from streamzarr.flow.windows.outbox import Outbox
from streamzarr.flow.windows.plain import Plain
from streamzarr.flow.windows.snapshot import PaneState, Snapshot
from streamzarr.queue import open_broker
from streamzarr.queue.base import NewRecord, TopicPartition
from streamzarr.queue.retry import RetryPolicy
from streamzarr.stores import Capabilities, MemoryStore, open_store, register_store
from streamzarr.testing.faults import Fault, FaultyStore

TICKS = TopicPartition("ticks", 0)

# -- plain data --------------------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = 1


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        (1, (2.5, "x"), b"y"),
        [1, [2]],
        {"a": {1, 2}, "b": frozenset()},
        {(1, 2): 3, None: 4, "x": 5},
        2**80,
        -(2**70),
        2**64 - 1,
        np.float64(1.5),
        np.float32("nan"),
        np.True_,
        np.datetime64("2020-01-01", "ns"),
        np.timedelta64(5, "s"),
        np.arange(6, dtype=">i2").reshape(2, 3).T,
        np.zeros((2, 0)),
        np.array("text"),
        np.array(5),
        np.str_(""),
        np.bytes_(b""),
        np.array(["", ""]),
        10**4400,
        "half \ud800",
        {"\ud800": 1},
    ],
    ids=lambda value: "long" if isinstance(value, int) else ascii(value),
)
def test_plain_data_come_back_as_they_were(value):
    found = Plain().loads(Plain().dumps(value))
    assert type(found) is type(value)
    assert found == value if isinstance(value, int) else repr(found) == repr(value)


def test_what_is_not_plain_needs_encode_and_decode():
    for value in (Colour.RED, object(), np.array([object()]), np.zeros(1, "i4,f8")):
        with pytest.raises(ConfigError, match="not plain data"):
            Plain().dumps([value])
    plain = Plain(encode=lambda colour: colour.value, decode=Colour)
    assert plain.loads(plain.dumps({"c": (Colour.RED, 1)})) == {"c": (Colour.RED, 1)}
    with pytest.raises(MessageError, match="decode="):
        Plain().loads(plain.dumps(Colour.RED))


def test_what_is_nested_too_deeply_is_refused_on_both_sides():
    value = ()
    for _ in range(60):
        value = (value,)
    with pytest.raises(ConfigError, match="deep"):
        Plain().dumps(value)
    data = Plain().dumps(())
    for _ in range(200):
        data = b"\xc9" + len(b"\x91" + data).to_bytes(4, "big") + b"\x01\x91" + data
    with pytest.raises(MessageError):
        Plain().loads(data)


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\xc7\x00\x63", b"\x93\x01", Plain().dumps((1, 2))[:-1]])
def test_bytes_that_are_not_plain_data_are_an_error(data):
    with pytest.raises(MessageError, match="cannot be read"):
        Plain().loads(data)


def test_arrays_of_objects_cannot_be_smuggled_in():
    encode = msgspec.msgpack.encode
    data = encode(msgspec.msgpack.Ext(3, encode(["|O", [1], bytes(8)])))
    with pytest.raises(MessageError, match="dtype"):
        Plain().loads(data)


def test_a_snapshot_of_another_kind_is_an_error():
    for data in (Plain().dumps([1]), Plain().dumps({"streamzarr.windows": 2}), b"{}"):
        with pytest.raises(MessageError, match="here: "):
            Snapshot.loads(data, Plain(), "here")
    bad = Plain().dumps({"streamzarr.windows": 1, "position": "far"})
    with pytest.raises(MessageError, match="position"):
        Snapshot.loads(bad, Plain(), "here")


def test_a_snapshot_comes_back_as_it_was():
    pane = PaneState(("BTC", 1), (0, 60), {"high": 7.5}, 3, 1, 2, True, True, False, "late", ((0, 50),))
    snapshot = Snapshot(3, b"id", 70, ((71, 73), (80, 81)), 99, 98, 5, (pane,))
    assert Snapshot.loads(snapshot.dumps(Plain()), Plain(), "here") == snapshot


# -- the store ---------------------------------------------------------------------------------------------


class Fixed:
    """A keeper of one snapshot."""

    def __init__(self, **fields):
        self.fields = fields
        self.told = []

    def snapshot(self, partition):
        return Snapshot(**self.fields)

    def stored(self, partition, snapshot):
        self.told.append(snapshot.position)


def owner(url, **fields):
    state = WindowState(url)
    state.attach(Fixed(**fields))
    return state


def test_who_starts_a_partition_goes_on_where_the_last_one_stopped(tmp_path):
    first = owner(tmp_path, position=7)
    assert first.start([TICKS]) == {}
    first.commit({TICKS: 7})
    first.ended([TICKS])
    second = owner(tmp_path)
    assert second.start([TICKS]) == {TICKS: 7}
    assert second.stored(TICKS).position == 7
    assert [*open_store(tmp_path).list()] == ["ticks/0"]


def test_the_owner_before_is_fenced_and_changes_nothing(tmp_path):
    first, second = owner(tmp_path, position=7), owner(tmp_path, position=9)
    first.start([TICKS])
    second.start([TICKS])
    second.commit({TICKS: 9})
    before = open_store(tmp_path).get("ticks/0")
    for _ in range(2):
        with pytest.raises(FencedError):
            first.commit({TICKS: 7})
    with pytest.raises(FencedError):
        first.stored(TICKS)
    assert open_store(tmp_path).get("ticks/0") == before
    second.commit({TICKS: 9})


def test_a_partition_that_was_given_up_is_not_stored():
    state = owner("memory://given-up", position=7)
    state.start([TICKS])
    state.ended([TICKS])
    with pytest.raises(FencedError, match="given up"):
        state.commit({TICKS: 7})


@pytest.fixture
def store():
    """A store that fails as planned, under the URL ``faulty://``."""
    store = FaultyStore(MemoryStore())

    def plan(fault):
        store.plan, store._counts = (fault,), [0]

    store.fail = plan
    register_store("faulty", lambda url: store, replace=True)
    return store


def test_a_take_over_whose_response_was_lost_counts_once(store):
    state = owner("faulty://x", position=7)
    refused = Fault("put", "ticks/0", lost_response=True, error=lambda: PreconditionFailedError("retried"))
    store.fail(refused)
    state.start([TICKS])
    state.commit({TICKS: 7})
    assert state.stored(TICKS).epoch == 1


def test_a_write_whose_response_was_lost_is_known_as_ones_own(store):
    state = owner("faulty://x", position=7)
    state.start([TICKS])
    store.fail(Fault("put", "ticks/0", lost_response=True))
    with pytest.raises(StoreError):
        state.commit({TICKS: 7})
    state.commit({TICKS: 7})
    store.fail(Fault("put", lost_response=True, error=lambda: PreconditionFailedError("retried")))
    state.commit({TICKS: 7})
    assert state.stored(TICKS).position == 7


def test_a_store_without_conditional_put_is_refused(store, monkeypatch):
    lacking = Capabilities(conditional_put=False, atomic_put=True)
    monkeypatch.setattr(FaultyStore, "capabilities", lacking)
    with pytest.raises(UnsupportedError, match="no conditional put"):
        owner("faulty://x").start([TICKS])


def test_state_that_is_too_large_is_refused_before_it_is_stored():
    pane = PaneState("k", (0, 1), bytes(20_000), 1, 1, 0, False, True, False, None, ())
    state = WindowState("memory://large", max_bytes="10kB")
    state.attach(Fixed(position=7, panes=(pane,)))
    state.start([TICKS])
    with pytest.raises(LimitExceededError, match="ticks/0"):
        state.commit({TICKS: 7})


def test_a_state_that_no_reduce_has_is_a_mistake():
    state = WindowState("memory://alone")
    state.start([TICKS])
    with pytest.raises(ConfigError, match=r"no ops\.reduce"):
        state.commit({TICKS: 1})


# -- the outbox --------------------------------------------------------------------------------------------


def test_what_is_handed_back_is_delivered_again_in_its_place():
    outbox = Outbox((), 0)
    for value in (1, 2, 3):
        outbox.put(windows.Result("k", windows.Window(0, value), value, 1), None)
    outbox.stored(2)
    first, second = outbox.take(), outbox.take()
    assert outbox.take() is None
    first.receipt.release(Fate.HANDED_BACK)
    second.receipt.release(Fate.FAILED)
    outbox.look()
    assert [outgoing.value for outgoing in outbox.contents] == [1, 3]
    assert outbox.take().outgoing.value == 1
    assert outbox.unsaved


# -- chains ------------------------------------------------------------------------------------------------


@pytest.fixture
def broker(tmp_path):
    with open_broker(f"sqlite:///{tmp_path}/queue.db") as broker:
        yield broker


def send(broker, values, partition=0):
    with broker.producer() as producer:
        producer.send("ticks", [NewRecord(json.dumps(v).encode(), partition=partition) for v in values])
        producer.flush()


def work(broker, folder, enough, *, window=None, before=(), behind=(), sink=None, **options):
    """Run a worker until `enough` says so of the results; return them and the report."""
    seen, stop = [], Stop()
    state = WindowState(folder / "state", every=0.02)

    def store(messages):
        if sink is not None:
            sink(messages)
        seen.extend(messages)

    def look():
        if enough(seen):
            stop.drain(5.0)

    chain = from_topic(
        broker,
        "ticks",
        group="g",
        demand=Demand(100),
        committer=state,
        stop=stop,
        on_turn=look,
        poll_timeout=0.01,
    ).pipe(
        ops.map(json.loads),
        *before,
        ops.reduce(
            lambda ids, tick: [*ids, tick[1]],
            initial=list,
            window=window or windows.Fixed("1s"),
            time=lambda tick: float(tick[0]),
            state=state,
            **options,
        ),
        *behind,
        ops.settle(store),
    )
    return seen, run(chain)


def values(messages):
    return [(message.data.window.start / 10**9, message.data.value) for message in messages]


def snapshot(folder, partition=0):
    return Snapshot.loads(open_store(folder / "state").get(f"ticks/{partition}"), Plain(), "here")


def test_a_worker_that_stops_leaves_its_windows_to_the_next_which_reads_nothing_again(broker, tmp_path):
    broker.create_topic("ticks")
    send(broker, [(0.0, 1), (0.5, 2), (1.0, 3)])
    seen, report = work(broker, tmp_path, lambda seen: seen)
    assert values(seen) == [(0, [1, 2])]
    assert (report.delivered, report.ok, report.held) == (3, 3, 0)
    stored = snapshot(tmp_path)
    assert (stored.position, len(stored.panes), stored.outbox) == (3, 1, ())
    send(broker, [(1.5, 4), (2.0, 5)])
    seen, report = work(broker, tmp_path, lambda seen: seen)
    assert values(seen) == [(1, [3, 4])]
    assert report.delivered == 2


def test_a_result_that_was_stored_and_not_settled_is_delivered_again_as_it_was(broker, tmp_path):
    broker.create_topic("ticks")
    send(broker, [(0.0, 1), (0.5, 2), (1.0, 3)])

    def broken(messages):
        raise RuntimeError("the sink is gone")

    with pytest.raises(RuntimeError, match="the sink is gone"):
        work(broker, tmp_path, lambda seen: False, sink=broken)
    assert len(snapshot(tmp_path).outbox) == 1
    seen, _ = work(broker, tmp_path, lambda seen: seen)
    assert values(seen) == [(0, [1, 2])]
    assert snapshot(tmp_path).outbox == ()


def test_a_message_behind_a_watermark_of_a_life_before_is_late(broker, tmp_path):
    broker.create_topic("ticks")
    send(broker, [(0.0, 1), (5.0, 2)])
    work(broker, tmp_path, lambda seen: seen)
    send(broker, [(0.1, 3), (6.0, 4)])
    seen, _ = work(broker, tmp_path, lambda seen: len(seen) == 2, late="late")
    assert {message.output for message in seen} == {"late", ""}
    assert values([message for message in seen if not message.output]) == [(5, [2])]


def test_records_that_finish_out_of_order_before_the_windows_are_folded_once(broker, tmp_path):
    """A record is stuck in front of the windows while those behind it are folded, and the worker stops."""
    broker.create_topic("ticks")
    send(broker, [(0.0, 0), (0.1, 1), (0.2, 2), (1.1, 3), (2.5, 4)])
    stuck = Stop()

    def work_on(tick):
        if tick[1] == 1 and not stuck.requested:
            raise ConnectionError("try again later")
        return tick

    later = RetryPolicy(attempts=9, base=30.0, factor=1.0, max_delay=30.0)
    slow = ops.dispatch(work_on, workers=1, retry=later)
    seen, _ = work(broker, tmp_path, lambda seen: len(seen) == 2, before=[slow], lateness="1h")
    assert values(seen) == [(0, [0, 2]), (1, [3])]
    stored = snapshot(tmp_path)
    assert stored.position == 1
    assert stored.taken == ((2, 5),)
    stuck.now()
    send(broker, [(9.0, 9)])
    again = ops.dispatch(work_on, workers=1)
    seen, report = work(broker, tmp_path, lambda seen: len(seen) == 2, before=[again], lateness="1h")
    assert values(seen) == [(0, [0, 2, 1]), (2, [4])]
    assert (seen[0].data.firing, seen[0].data.pane) == ("late", 1)
    assert report.skipped == 3


def test_results_of_partitions_are_their_own(broker, tmp_path):
    broker.create_topic("ticks", partitions=2)
    for partition in (0, 1):
        send(broker, [(0.0, partition), (1.0, partition)], partition)
    seen, _ = work(broker, tmp_path, lambda seen: len(seen) == 2)
    assert sorted(values(seen)) == [(0, [0]), (0, [1])]
    with pytest.raises(ConfigError, match="merge= with state="):
        work(broker, tmp_path, lambda seen: True, merge=lambda one, other: one + other)


def test_messages_that_no_state_answers_for_are_refused():
    state = WindowState("memory://elsewhere")
    chain = from_iterable([1], Demand(1)).pipe(
        ops.reduce(lambda total, n: total + n, initial=0, state=state), ops.settle()
    )
    with pytest.raises(ConfigError, match="committer=state"):
        run(chain)


def test_a_result_that_was_folded_again_stays_stored_until_that_result_is_settled(broker, tmp_path):
    broker.create_topic("ticks", partitions=1)
    triples = ops.reduce(
        lambda ids, result: ids + result.value,
        initial=list,
        window=windows.Fixed("3s"),
        time=lambda result: result.window.start,
    )
    send(broker, [(0, 1), (1, 2), (2, 3)])
    seen, _ = work(broker, tmp_path, lambda seen: stored(tmp_path, 2), behind=[triples])
    assert seen == []
    send(broker, [(3, 4), (4, 5)])
    seen, _ = work(broker, tmp_path, bool, behind=[triples])
    assert values(seen) == [(0, [1, 2, 3])]
    assert snapshot(tmp_path).numbered == 4


def stored(folder, results):
    """Tell whether so many results are stored and not settled."""
    try:
        return len(snapshot(folder).outbox) >= results
    except KeyNotFoundError:
        return False


def test_merged_results_are_released_with_what_they_are_in(broker, tmp_path):
    def refuse(messages):
        raise ValueError("broken")

    merge = ops.departition(lambda ids, result: ids + result.value, initial=list)
    broker.create_topic("ticks", partitions=1)
    send(broker, [(0, 1), (1, 2), (2, 3)])
    with pytest.raises(ValueError, match="broken"):
        work(broker, tmp_path, bool, behind=[merge], sink=refuse)
    seen, _ = work(broker, tmp_path, lambda seen: len(seen) == 2, behind=[merge])
    assert values(seen) == [(0, [1]), (1, [2])]


def test_a_receipt_is_released_by_the_last_that_keeps_it():
    receipt, one, other = Receipt(), Hold(), Hold()
    one.keep_as(receipt)  # a piece
    other.absorb(receipt)  # the last piece
    one.release(Fate.OK)
    assert not receipt.released
    third = Hold()
    third.absorb(other)
    third.release(Fate.OK)
    assert receipt.released
    assert receipt.fate is Fate.OK


def test_a_receipt_of_what_is_handed_back_stays_stored():
    receipt, hold = Receipt(), Hold()
    hold.absorb(receipt)
    hold.release(Fate.HANDED_BACK)
    assert not receipt.released


def test_more_results_than_can_be_stored_that_none_may_settle_are_an_error(broker, tmp_path, monkeypatch):
    monkeypatch.setattr(keeping, "MAX_OUTBOX", 3)
    day = ops.reduce(
        lambda ids, result: ids + result.value,
        initial=list,
        window=windows.Fixed("1d"),
        time=lambda result: result.window.start,
    )
    broker.create_topic("ticks", partitions=1)
    send(broker, [(n, n) for n in range(9)])
    with pytest.raises(LimitExceededError, match="write them to a topic"):
        work(broker, tmp_path, bool, behind=[day])


def test_one_state_cannot_keep_two_reduces(broker, tmp_path):
    state = WindowState(tmp_path / "state")
    bars = [
        ops.reduce(lambda total, tick: total + 1, initial=0, window=windows.Fixed(size), state=state)
        for size in ("1s", "1min")
    ]
    broker.create_topic("ticks", partitions=1)
    source = from_topic(broker, "ticks", group="g", demand=Demand(10), committer=state)
    with pytest.raises(ConfigError, match="keeps one"):
        run(source.pipe(ops.broadcast({"short": bars[:1], "long": bars[1:]}), ops.settle()))


def test_a_late_message_that_is_wanted_again_holds_back_no_result(broker, tmp_path):
    held = []

    def sink(messages):
        held.extend(message for message in messages if message.output)
        enough = len(results) > 2
        return [ops.Again(0.01) if message.output and not enough else ops.DONE for message in messages]

    results, stop, state = [], Stop(), WindowState(tmp_path / "state", every=0.02)

    def store(messages):
        results.extend(message for message in messages if not message.output)
        return sink(messages)

    def look():
        if len(results) > 2:
            stop.drain(5.0)

    broker.create_topic("ticks", partitions=1)
    send(broker, [(0, 1), (1, 2), (0, 3), (2, 4), (3, 5)])
    source = from_topic(
        broker, "ticks", group="g", demand=Demand(9), committer=state, on_turn=look, poll_timeout=0.01
    )
    bars = ops.reduce(
        lambda ids, tick: [*ids, tick[1]],
        initial=list,
        window=windows.Fixed("1s"),
        time=lambda tick: float(tick[0]),
        late="old",
        state=state,
    )
    run(source.pipe(ops.map(json.loads), bars, ops.settle(store)), stop=stop)
    assert values(results) == [(0, [1]), (1, [2]), (2, [4])]
    assert [message.data for message in held[:1]] == [[0, 3]]


def test_a_key_that_cannot_be_stored_fails_its_message_alone(broker, tmp_path):
    def key(tick):
        return object() if tick[1] == 2 else tick[1]

    seen, letters, stop, state = [], [], Stop(), WindowState(tmp_path / "state", every=0.02)

    def store(messages):
        seen.extend(messages)
        stop.drain(5.0)

    broker.create_topic("ticks", partitions=1)
    send(broker, [(0, 1), (0, 2), (1, 3)])
    source = from_topic(broker, "ticks", group="g", demand=Demand(9), committer=state, poll_timeout=0.01)
    bars = ops.reduce(
        lambda ids, tick: [*ids, tick[1]],
        initial=list,
        window=windows.Fixed("1s"),
        time=lambda tick: float(tick[0]),
        state=state,
    )
    run(
        source.pipe(
            ops.map(json.loads), ops.partition_by(key), bars, ops.settle(store, dead_letters=letters.extend)
        ),
        stop=stop,
    )
    assert values(seen) == [(0, [1])]
    assert [message.data for message in letters] == [[0, 2]]
