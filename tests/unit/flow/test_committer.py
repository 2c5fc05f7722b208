"""A committer of one's own: it says where reading begins, and keeps the positions with the results."""

import pytest

from streamzarr.errors import FencedError, QueueError
from streamzarr.flow import Control, Demand, Stop, from_topic, ops, run
from streamzarr.queue.base import TopicPartition
from streamzarr.testing.broker_fake import FakeBroker
from streamzarr.testing.clock import FakeClock

P0, P1 = TopicPartition("jobs", 0), TopicPartition("jobs", 1)


class Table:
    """Rows and positions that are stored in one step, as in a transaction of a database."""

    def __init__(self):
        self.rows, self.positions, self.owned, self.fenced = [], {}, [], False

    def store(self, messages):
        self.rows += [message.data for message in messages]

    def start(self, partitions):
        self.owned += partitions
        return {
            partition: self.positions[partition] for partition in partitions if partition in self.positions
        }

    def commit(self, positions):
        if self.fenced:
            raise FencedError("epoch 2 has taken over")
        self.positions.update(positions)

    def ended(self, partitions):
        self.owned = [partition for partition in self.owned if partition not in partitions]


@pytest.fixture
def broker():
    broker = FakeBroker(FakeClock(100.0))
    broker.create_topic("jobs", 2)
    broker.append("jobs", 0, *[b"a%d" % number for number in range(6)])
    broker.append("jobs", 1, b"b0", b"b1")
    return broker


def go(broker, table, rows, sink=None):
    """Run until the table has so many rows."""
    stop = Stop(broker.runtime)

    def store(messages):
        table.store(messages)
        if sink is not None:
            sink()
        if len(table.rows) >= rows:
            stop.drain(5.0)

    chain = from_topic(broker, "jobs", group="g", demand=Demand(3), commit_every=0.0, committer=table)
    return run(chain.pipe(ops.settle(store)), stop=stop, runtime=broker.runtime)


def test_a_restart_goes_on_where_the_committer_says_and_the_group_is_told_nothing(broker):
    table = Table()
    go(broker, table, 3)
    assert len(table.rows) < 8
    go(broker, table, 8)
    assert sorted(table.rows) == [b"a0", b"a1", b"a2", b"a3", b"a4", b"a5", b"b0", b"b1"]
    assert table.positions == {P0: 6, P1: 2}
    assert broker.committed("g", "jobs") == {}


def test_what_the_committer_does_not_know_begins_at_the_offsets_of_the_group(broker):
    broker.set_committed("g", P1, 1)
    table = Table()
    table.positions[P0] = 4
    go(broker, table, 3)
    assert sorted(table.rows) == [b"a4", b"a5", b"b1"]


def test_a_committer_hears_of_all_partitions_that_come_and_go(broker):
    table, seen = Table(), []

    def lose():
        seen.append(list(table.owned))
        if len(seen) == 1:
            broker.consumers[-1].rebalance("lost", P1)

    go(broker, table, 7, lose)
    assert (sorted(seen[0]), seen[-1], table.owned) == ([P0, P1], [P0], [])


def test_one_that_somebody_else_has_taken_over_from_ends_the_chain_and_stores_nothing_more(broker):
    table = Table()
    with pytest.raises(FencedError, match="epoch 2 has taken over"):
        go(broker, table, 8, lambda: setattr(table, "fenced", True))
    assert table.positions == {}
    assert 0 < len(table.rows) <= 3  # those before the first commit
    assert broker.consumers[-1].closed


class TakenOver(Table):
    """Somebody else's commits of P0 are in the way of ours, until it is taken back."""

    def __init__(self):
        super().__init__()
        self.waits, self.taken_back = True, []

    def start(self, partitions):
        super().start(partitions)
        return {partition: self.positions.get(partition, 0) for partition in partitions}

    def commit(self, positions):
        super().commit({each: at for each, at in positions.items() if each != P0 or not self.waits})

    def take_back(self):
        if not self.waits or len(self.rows) < 5:
            return []
        self.taken_back = [row for row in self.rows if row.startswith(b"a")]
        self.waits = False
        return [P0]


def test_what_is_taken_back_is_read_again_from_where_the_committer_says_and_nothing_else_is(broker):
    table, stop, changes = TakenOver(), Stop(broker.runtime), []

    def turn():
        done = table.positions == {P0: 6, P1: 2} or broker.runtime.now() > 200.0
        if done and not stop.requested:
            stop.drain(5.0)

    chain = from_topic(
        broker,
        "jobs",
        group="g",
        demand=Demand(3),
        commit_every=0.0,
        committer=table,
        on_turn=turn,
        on_rebalance=lambda what, partitions: changes.append(what),
    )
    run(chain.pipe(ops.settle(table.store)), stop=stop, runtime=broker.runtime)
    ours = [row for row in table.rows if row.startswith(b"a")]
    assert table.taken_back
    assert ours == [*table.taken_back, b"a0", b"a1", b"a2", b"a3", b"a4", b"a5"]
    assert sorted(row for row in table.rows if row.startswith(b"b")) == [b"b0", b"b1"]
    assert changes == ["assigned", "revoked"], "the group has changed nothing"


def test_a_pause_keeps_the_membership_and_takes_part_in_rebalances(broker):
    control, stop, seen, changes = Control(runtime=broker.runtime), Stop(broker.runtime), [], []

    def steps():
        while not seen:
            yield
        control.pause()
        broker.consumers[-1].rebalance("revoked", P1)
        until = broker.runtime.now() + 60.0  # six sessions
        while broker.runtime.now() < until:
            yield
        at_pause.append(len(seen))
        control.resume()
        while len(seen) < 6:
            yield
        stop.drain(5.0)
        while True:
            yield

    at_pause, turns = [], steps()
    chain = from_topic(
        broker,
        "jobs",
        group="g",
        demand=Demand(1),
        on_turn=lambda: next(turns),
        on_rebalance=lambda what, partitions: changes.append((what, *partitions)),
    ).pipe(ops.settle(lambda messages: seen.extend(message.data for message in messages)))
    run(chain, stop=stop, control=control, runtime=broker.runtime)
    assert changes[:2] == [("assigned", P0, P1), ("revoked", P1)]
    assert at_pause[0] <= 2
    assert [data for data in seen if data.startswith(b"a")] == [b"a%d" % number for number in range(6)]


def test_a_chain_that_stops_does_not_wait_for_positions_that_cannot_be_had(broker):
    """Nothing was delivered of those partitions: it ends in order, at the next failure."""
    stop, asked = Stop(broker.runtime), []

    class Away(Table):
        def start(self, partitions):
            asked.append(broker.runtime.now())
            if len(asked) == 2:
                stop.drain(5.0)
            raise QueueError("away")

    chain = from_topic(broker, "jobs", group="g", demand=Demand(3), committer=Away())
    report = run(chain.pipe(ops.settle()), stop=stop, runtime=broker.runtime)
    assert (report.delivered, report.left, len(asked)) == (0, 0, 2)
