"""What a chain under simulation is built of: a source, a sink, and a record of what became of messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypeAlias

from reactivex import Observable
from reactivex import operators as rx

from streamzarr.flow import Batch, Demand, Message, Stop, from_topic
from streamzarr.queue.base import Broker, NewRecord, Record, TopicPartition
from streamzarr.queue.deadletter import DeadLetter, dead_letter_topic
from streamzarr.testing.simulation.runtime import SimulatedRuntime
from streamzarr.testing.simulation.world import World

INPUT, OUTPUT, GROUP = "input", "output", "chain"
DEAD = dead_letter_topic(INPUT)
ORIGINS = "origins"
"""Header of an output: the records that it stands for."""
SESSION_SECONDS = 6.0

Fate: TypeAlias = Literal["written", "dead", "skipped"]
Origin: TypeAlias = tuple[int, int]
"""Partition and offset of an input record."""


class Bench:
    """The parts that a process builds its chain of; handed to the function under simulation.

    Examples
    --------
    A chain for :func:`streamzarr.testing.simulate`:

    >>> from streamzarr.flow import ops
    >>> def chain(bench):
    ...     return bench.source(max_demand=20).pipe(ops.map(int), ops.settle(bench.sink))
    """

    def __init__(self, world: World, name: str, fate: Callable[[bytes], Fate]) -> None:
        self.runtime: SimulatedRuntime = world.runtime
        self.broker: Broker = world.broker()
        self.stop = Stop(world.runtime)
        self.name = name
        self._world, self._fate = world, fate
        self._producer = self.broker.producer()
        self._in_flight: set[Origin] = set()

    def source(
        self,
        max_demand: int = 20,
        min_demand: int | None = None,
        max_bytes: int | None = None,
        **options: Any,
    ) -> Observable[Batch]:
        """Return the records of the input topic; takes what :func:`streamzarr.flow.from_topic` takes."""
        demand = Demand(max_demand, min_demand, max_bytes, runtime=self.runtime)
        world = self._world

        def within() -> None:
            world.promise(
                demand.in_flight <= max_demand,
                f"P2: {demand.in_flight} messages in flight, max_demand is {max_demand}",
            )

        def count(batch: Batch) -> None:
            self._in_flight.update(
                origin
                for message in batch.messages
                if self._fate(message.data) != "skipped"  # those leave where we do not see it
                for origin in origins_of(message)
            )
            world.promise(
                len(self._in_flight) <= max_demand,
                f"P2: {self.name} holds {len(self._in_flight)} messages, max_demand is {max_demand}",
            )

        def rebalanced(what: str, partitions: Sequence[TopicPartition]) -> None:
            gone = {partition.partition for partition in partitions}
            self._in_flight = {origin for origin in self._in_flight if origin[0] not in gone}

        world.watch(within)
        settings = {"session_timeout": SESSION_SECONDS, "on_rebalance": rebalanced, **options}
        source = from_topic(self.broker, INPUT, group=GROUP, demand=demand, **settings)
        return source.pipe(rx.do_action(count))

    def sink(self, messages: Sequence[Message]) -> None:
        """Write results to the output topic and dead letters to theirs, durably."""
        self._producer.send(DEAD, [self._letter(each) for each in messages if each.failure is not None])
        self.write([(each.data, origins_of(each)) for each in messages if each.failure is None])
        self.leave(messages)

    def write(self, results: Iterable[tuple[Any, Iterable[Origin]]]) -> None:
        """Write results to the output topic, durably, each with the input records that it stands for."""
        self._producer.send(OUTPUT, [output_of(data, origins) for data, origins in results])
        self._producer.flush()

    def letters(self, messages: Sequence[Message]) -> None:
        """Write dead letters alone: for ``ops.settle(sink, dead_letters=bench.letters)``."""
        self.sink(messages)

    def leave(self, messages: Iterable[Message]) -> None:
        """Note that messages are settled; for sinks of one's own."""
        self._in_flight.difference_update(origin for each in messages for origin in origins_of(each))

    def _letter(self, message: Message) -> NewRecord:
        record, failure = message.record, message.failure
        assert record is not None
        assert failure is not None
        return DeadLetter.of(
            record,
            error=failure.error,
            stage=failure.stage,
            attempts=failure.attempts,
            first_seen=message.first_seen,
            worker=self.name,
        ).to_record()


def origins_of(message: Message) -> list[Origin]:
    """Return the records that a message was made of."""
    parts = getattr(message, "parts", ())
    if parts:
        return [origin for part in parts for origin in origins_of(part)]
    record: Record | None = message.record
    return [] if record is None else [(record.partition, record.offset)]


def output_of(data: Any, origins: Iterable[Origin]) -> NewRecord:
    """Return the record that a result becomes."""
    value = data if isinstance(data, bytes) else repr(data).encode()
    names = " ".join(f"{partition}:{offset}" for partition, offset in origins)
    return NewRecord(value, headers=((ORIGINS, names.encode()),), partition=0)


def origins_in(record: Record) -> list[Origin]:
    """Return the input records that an output, or a dead letter, stands for."""
    headers = dict(record.headers)
    if ORIGINS in headers:
        pairs = (pair.split(":") for pair in headers[ORIGINS].decode().split())
        return [(int(partition), int(offset)) for partition, offset in pairs]
    prefix = "streamzarr.error."
    return [(int(headers[f"{prefix}partition"]), int(headers[f"{prefix}offset"]))]


Chain = Callable[[Bench], Observable[Batch]]
