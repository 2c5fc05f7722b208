"""A scenario of plain chains: workers read a topic, each record becomes an output or a dead letter."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from streamzarr.errors import FencedError
from streamzarr.flow import RunReport, run
from streamzarr.queue.base import NewRecord, Record, TopicPartition
from streamzarr.queue.retry import is_transient
from streamzarr.testing.simulation.bench import (
    DEAD,
    GROUP,
    INPUT,
    OUTPUT,
    Bench,
    Chain,
    Fate,
    Origin,
    origins_in,
)
from streamzarr.testing.simulation.errors import told
from streamzarr.testing.simulation.faults import WORLD, Hazard
from streamzarr.testing.simulation.process import SimulatedProcess
from streamzarr.testing.simulation.world import World

DRAIN_SECONDS = 5.0
SLACK_SECONDS = 15.0
"""For the last commit, leaving the group, and answers that take their time."""
PATIENCE = 240.0

WORKERS = ("worker-1", "worker-2")

HAZARDS = (
    *(Hazard(worker, "kill", within=600, weight=2.0) for worker in WORKERS),
    *(Hazard(worker, "freeze", within=600, seconds=(0.5, 20.0)) for worker in WORKERS),
    *(Hazard(worker, "term", within=600, weight=0.5) for worker in WORKERS),
    Hazard(WORLD, "down", within=1500, seconds=(0.2, 12.0)),
    Hazard(WORLD, "jump", within=1500, seconds=(-7200.0, 7200.0), weight=0.5),
    Hazard(WORLD, "evict", within=1500, weight=2.0),
    Hazard("commit", "refuse", within=40),
    Hazard("commit", "lose", within=40, weight=1.5),
    Hazard("commit", "late", within=40, seconds=(1.0, 15.0)),
    Hazard("flush", "refuse", within=40),
    Hazard("flush", "lose", within=40, weight=1.5),
    Hazard("flush", "late", within=40, seconds=(1.0, 15.0)),
    Hazard("poll", "refuse", within=100),
    Hazard("poll", "late", within=100, seconds=(1.0, 15.0)),
    Hazard("join", "refuse", within=6, weight=0.5),
    Hazard("join", "lose", within=6, weight=0.5),
    Hazard("release", "lose", within=6),
    Hazard("claim", "lose", within=10, weight=0.5),
    Hazard("leave", "lose", within=4, weight=0.3),
)
"""What can befall a chain and its broker."""


@dataclass(frozen=True)
class ChainScenario:
    """Workers run one chain in one group; promises P1, P2, P4 and P6 are checked as they go.

    Parameters
    ----------
    chain
        Makes the chain of one worker process.
    fate
        What shall become of a record of this value; every one is written, if it is not given.
    outputs
        How many different outputs a written record of this value shall have.
    value
        The value of the n-th record.
    epilogue
        Value of a last record in each partition, such as one that closes windows; it need not be settled.
    own_committer
        Whether the chain keeps its positions elsewhere than in the group.
    """

    chain: Chain
    name: str = "chain"
    fate: Callable[[bytes], Fate] = lambda value: "written"
    outputs: Callable[[bytes], int] = lambda value: 1
    value: Callable[[int], bytes] = lambda number: b"%d" % number
    epilogue: bytes | None = None
    own_committer: bool = False
    size: int = 80
    partitions: int = 3
    hazards: Sequence[Hazard] = HAZARDS

    def run(self, world: World) -> None:
        """Play it."""
        _Play(self, world).run()


@dataclass
class _Play:
    """One run."""

    scenario: ChainScenario
    world: World
    outputs: dict[Origin, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    """What the output topic holds of each input record."""
    dead: set[Origin] = field(default_factory=set)
    """Input records that have a dead letter."""
    goal: Mapping[int, int] = field(default_factory=dict)
    """Positions that shall be committed in the end."""
    stopping: bool = False

    def run(self) -> None:
        world, scenario = self.world, self.scenario
        topics = world.cluster.topics
        topics.create(INPUT, scenario.partitions, exist_ok=False)
        topics.create(OUTPUT, 1, exist_ok=False)
        topics.create(DEAD, 1, exist_ok=False)
        random = Random(f"chain {world.plan.seed}")
        world.cluster.gaps = random.choice((0.0, 0.0, 0.1))
        world.cluster.on_append.append(self._account)
        world.cluster.on_commit.append(self._check_commit)
        for name in WORKERS:
            self._start(name)
        number = 0
        while number < world.plan.size:
            count = min(random.randint(1, 20), world.plan.size - number)
            records = [
                NewRecord(scenario.value(n), partition=random.randrange(scenario.partitions))
                for n in range(number, number + count)
            ]
            world.cluster.append([(INPUT, record) for record in records])
            number += count
            world.sleep(random.random() * 2.0)
        self.goal = dict(world.cluster.topics.info(INPUT).end)
        if scenario.epilogue is not None:
            for partition in range(scenario.partitions):
                world.cluster.append([(INPUT, NewRecord(scenario.epilogue, partition=partition))])
        world.sleep(random.random() * 10.0)
        world.be_steady()
        what = "all records are settled and committed"
        world.wait_until(self._all_done, PATIENCE, what, self._first_open)
        self.stopping = True
        for process in world.alive():
            process.terminate()
        world.wait_until(lambda: not world.alive(), PATIENCE, "all workers have ended")
        self._check_fates()

    # -- workers -----------------------------------------------------------------------------------------

    def _start(self, name: str) -> None:
        def main() -> int:
            process = world.kernel.current.process
            bench = Bench(world, process.name, scenario.fate)
            process.on_terminate = lambda: self._terminate(process, bench)
            try:
                report = run(scenario.chain(bench), stop=bench.stop, runtime=world.runtime)
            except Exception as error:
                if isinstance(error, FencedError) or is_transient(error):
                    world.say(f"{process.name} gives up: {told(error)}")
                    return 3
                raise
            self._check_report(process, report)
            return 0

        world, scenario = self.world, self.scenario
        process = world.start(name, main)
        process.on_end(lambda process: self._ended(name, process))

    def _ended(self, name: str, process: SimulatedProcess) -> None:
        if process.error is not None:
            self.world.promise(False, f"{process.name} broke: {told(process.error)}")
        if not self.stopping:
            kernel = self.world.kernel
            kernel.at(kernel.time + 0.5, lambda: None if self.stopping else self._start(name))

    def _terminate(self, process: SimulatedProcess, bench: Bench) -> None:
        world = self.world
        allowed = (
            DRAIN_SECONDS + SLACK_SECONDS + sum(2 + max(0, fault.seconds) for fault in world.plan.faults)
        )
        world.kernel.at(
            world.kernel.time + allowed,
            lambda: world.promise(
                process.over, f"P6: {process.name} did not end within {allowed:.0f} s of SIGTERM"
            ),
        )
        bench.stop.drain(DRAIN_SECONDS)

    # -- promises ----------------------------------------------------------------------------------------

    def _account(self, record: Record) -> None:
        """Note what has become of the input records that a new record stands for."""
        if record.topic == DEAD:
            self.dead.update(origins_in(record))
        elif record.topic == OUTPUT:
            for origin in origins_in(record):
                self.outputs[origin].add(record.value or b"")

    def _kept(self, record: Record) -> bool:
        """Tell whether what was promised for an input record is there."""
        origin, value = (record.partition, record.offset), record.value or b""
        match self.scenario.fate(value):
            case "written":
                return len(self.outputs[origin]) == self.scenario.outputs(value) and origin not in self.dead
            case "dead":
                return origin in self.dead
            case "skipped":
                return True

    def _check_commit(self, group: str, where: TopicPartition, before: int | None, position: int) -> None:
        """P1 and P4: nothing below a committed position is unsettled, and none goes back."""
        start = before or 0
        self.world.promise(position >= start, f"P4: position of {where} went back from {start} to {position}")
        found, _ = self.world.cluster.topics.read(where, start, max(0, position - start))
        for record in found:
            if record.offset < position and not self._kept(record):
                self.world.promise(
                    False,
                    f"P1: {where.topic}[{where.partition}]={position} is committed, but {self._say(record)}",
                )

    def _check_fates(self) -> None:
        """P1: what became of each record is what was promised, and nothing else."""
        for record in self.world.cluster.topics.all(INPUT):
            origin, fate = (record.partition, record.offset), self.scenario.fate(record.value or b"")
            too_much = (fate != "dead" and origin in self.dead) or (
                fate == "skipped" and self.outputs[origin]
            )
            self.world.promise(self._kept(record) and not too_much, f"P1: {self._say(record)}")

    def _say(self, record: Record) -> str:
        origin, value = (record.partition, record.offset), record.value or b""
        found = [OUTPUT] * len(self.outputs[origin]) + [DEAD] * (origin in self.dead)
        return (
            f"offset {record.offset} of {INPUT}[{record.partition}] ({value!r}) shall be "
            f"{self.scenario.fate(value)}, and is found in: {', '.join(found) or 'no topic'}"
        )

    def _check_report(self, process: SimulatedProcess, report: RunReport) -> None:
        parts = report.ok + report.failed + report.skipped + report.handed_back + report.left + report.held
        self.world.promise(
            report.delivered == parts,
            f"P6: {process.name} reports {report}, which does not add up",
        )

    def _all_done(self) -> bool:
        if self.scenario.own_committer:
            return all(map(self._kept, self.world.cluster.topics.all(INPUT)))
        committed = self.world.cluster.group(GROUP).committed
        return all(
            committed.get(TopicPartition(INPUT, number), 0) >= end or not end
            for number, end in self.goal.items()
        )

    def _first_open(self) -> str:
        records = self.world.cluster.topics.all(INPUT)
        return next((self._say(record) for record in records if not self._kept(record)), "all are settled")
