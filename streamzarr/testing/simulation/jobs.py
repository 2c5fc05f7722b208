"""A scenario of chunk jobs: a submitter, a supervisor and its workers, all of it the real code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any
from unittest.mock import patch

import numpy as np

import streamzarr
from streamzarr.jobs import JobHandle, JobReport, JobTopics, read_register, resume, transforms
from streamzarr.jobs.options import WorkerOptions
from streamzarr.jobs.wire import decode_results, numbers_of, task_of
from streamzarr.jobs.worker import work_on
from streamzarr.queue.base import Broker, Record, TopicPartition
from streamzarr.queue.retry import is_transient
from streamzarr.stores.memory import MemoryStore
from streamzarr.supervisor import Supervision, Supervisor, WorkerSpec
from streamzarr.testing.simulation.errors import told
from streamzarr.testing.simulation.faults import WORLD, Hazard
from streamzarr.testing.simulation.host import host_maker
from streamzarr.testing.simulation.job_kinds import (
    MAX_LAG,
    NEGATE,
    ROOT,
    TARGET_CHUNK,
    draw_kind,
    make_source,
)
from streamzarr.testing.simulation.process import SimulatedProcess
from streamzarr.testing.simulation.trial import TRIAL, trial_runner
from streamzarr.testing.simulation.world import World

TOPICS = JobTopics()
PARTITIONS = 4
DRAIN_SECONDS = 5.0
PATIENCE = 400.0
UNSTEADY_SECONDS = 30.0
"""After so long at the latest no more faults happen."""

_INSTALLED = entry_points(group=transforms.ENTRY_POINTS)
"""What is installed does not change meanwhile, and every worker asks as it starts."""

WORKERS = ("worker-0", "worker-1")
SUPERVISOR, SUBMITTER = "supervisor", "submitter"

HAZARDS: tuple[Hazard, ...] = (
    *(Hazard(worker, "kill", within=1500, weight=2.0) for worker in WORKERS),
    *(Hazard(worker, "freeze", within=1500, seconds=(0.5, 20.0)) for worker in WORKERS),
    *(Hazard(worker, "term", within=1500, weight=0.5) for worker in WORKERS),
    Hazard(TRIAL, "kill", within=100),
    Hazard(SUPERVISOR, "kill", within=300),
    Hazard(SUPERVISOR, "freeze", within=300, seconds=(0.5, 80.0), weight=0.5),
    Hazard(SUBMITTER, "kill", within=1500, weight=2.0),
    Hazard(SUBMITTER, "freeze", within=1500, seconds=(0.5, 30.0)),
    Hazard(WORLD, "down", within=4000, seconds=(0.2, 12.0)),
    Hazard(WORLD, "jump", within=4000, seconds=(-7200.0, 7200.0), weight=0.5),
    Hazard(WORLD, "evict", within=4000, weight=2.0),
    *(
        Hazard(operation, kind, within=within)
        for operation, within in {"commit": 20, "flush": 40, "read": 300, "write": 100}.items()
        for kind in ("refuse", "lose")
    ),
    Hazard("write", "late", within=100, seconds=(1.0, 30.0), weight=2.0),
    Hazard("write", "full", within=100, seconds=(1.0, 30.0)),
    Hazard("commit", "late", within=20, seconds=(1.0, 15.0)),
    Hazard("flush", "late", within=40, seconds=(1.0, 15.0)),
    Hazard("poll", "refuse", within=200),
    Hazard("fetch", "refuse", within=200),
    Hazard("committed", "refuse", within=50),
    Hazard("describe", "refuse", within=50),
    Hazard("trim", "lose", within=2),
)
"""What can befall a job, its workers, its broker and its stores."""


@dataclass(frozen=True)
class JobScenario:
    """A copy of one array into other chunks; promises P1, P4, P5 and P6 are checked."""

    name: str = "jobs"
    size: int = 30
    """Chunks of the source at most."""
    hazards: Sequence[Hazard] = HAZARDS

    def run(self, world: World) -> None:
        """Play it."""
        installed = patch.object(transforms, "entry_points", lambda group: _INSTALLED)
        with installed, patch.dict(transforms._registered):
            _Play(world).run()


@dataclass
class _Play:
    world: World
    done: bool = False
    settled: set[int] = field(default_factory=set)
    """Numbers of the chunks that have a result."""
    stopping: bool = False

    def run(self) -> None:
        world = self.world
        self.kind = draw_kind(world, world.plan.size)
        self.data = make_source(world.disks.contents("data", "source"), world.plan.size)
        transforms.transform(name=NEGATE)(self.kind.transform)
        topics = {TOPICS.tasks: PARTITIONS, TOPICS.dead: 1, TOPICS.results: 1, TOPICS.jobs: 1}
        for topic, partitions in topics.items():
            world.cluster.topics.create(topic, partitions, exist_ok=False)
        world.cluster.on_append.append(self._account)
        world.cluster.on_commit.append(self._check_commit)
        self._keep(SUPERVISOR, self._supervise)
        self._keep(SUBMITTER, self._submit)
        unsteady_until = world.kernel.time + UNSTEADY_SECONDS
        while not self.done and world.kernel.time < unsteady_until:
            world.sleep(0.5)
        world.be_steady()
        world.wait_until(lambda: self.done, PATIENCE, "the job is done")
        world.sleep(max((fault.seconds for fault in world.plan.faults if fault.kind == "late"), default=0.0))
        self.stopping = True
        for process in world.alive():
            if process.site == SUPERVISOR:
                process.terminate()
        world.wait_until(lambda: not world.alive(), PATIENCE, "all processes have ended")
        self._check_letters()
        self._check_target()

    # -- processes ---------------------------------------------------------------------------------------

    def _keep(self, name: str, main: Any) -> None:
        """Start a process, and again when it has ended badly."""
        process = self.world.start(name, main)

        def ended(process: SimulatedProcess) -> None:
            if process.error is not None:
                self._failed(process, process.error)
            if process.exit_code and not self.stopping:
                kernel = self.world.kernel
                kernel.at(kernel.time + 1.0, lambda: None if self.stopping else self._keep(name, main))

        process.on_end(ended)

    def _failed(self, process: SimulatedProcess, error: BaseException) -> None:
        if not is_transient(error):
            self.world.promise(False, f"{process.name} broke: {told(error)}")

    def _supervise(self) -> int:
        world = self.world
        stop = world.runtime.event()
        world.kernel.current.process.on_terminate = stop.set
        supervisor = Supervisor(
            WorkerSpec("simulated:worker", {}, name="worker"),
            len(WORKERS),
            host=host_maker(world, self._work, self._failed),
            runtime=world.runtime,
            drain=DRAIN_SECONDS,
            max_restarts=1000,
        )
        supervisor.start()
        stop.wait()
        begun = world.runtime.now()
        report = supervisor.stop()
        took = world.runtime.now() - begun
        world.promise(took < DRAIN_SECONDS + 1.0, f"P6: the supervisor took {took:.1f} s to stop")
        for each in report.workers:
            world.promise(each.outcome != "killed", f"P6: {each.name} was killed, expected it to drain")
        return 0

    def _work(self, supervision: Supervision) -> None:
        options = WorkerOptions(
            broker=self.world.cluster.url,
            roots=(ROOT,),
            threads=2,
            max_demand=8,
            attempts=12,
            session_timeout=6.0,
        )
        with self.world.broker() as broker:
            work_on(broker, options, supervision, run_trial=trial_runner(self.world))

    def _submit(self) -> int:
        with self.world.broker() as broker, self._handle(broker) as handle:
            report = handle.wait()
            self._check_report(report)
            self.done = True
        return 0

    def _handle(self, broker: Broker) -> JobHandle:
        jobs = read_register(broker, TOPICS)
        if jobs:
            return resume(next(iter(jobs)), broker=broker, max_lag=MAX_LAG)
        return self.kind.submit(broker)

    # -- promises ----------------------------------------------------------------------------------------

    def _check_commit(self, group: str, where: TopicPartition, before: int | None, position: int) -> None:
        """P1 and P4: each task below a committed position has a result, and no position goes back."""
        if group != TOPICS.group:
            return
        world, start = self.world, before or 0
        world.promise(position >= start, f"P4: position of {where} went back from {start} to {position}")
        begin = world.cluster.topics.partitions(where.topic)[where.partition].begin
        tasks, _ = world.cluster.topics.read(where, max(start, begin), max(0, position - start))
        for task in tasks:
            found = task_of(task.headers)
            if task.offset < position and found is not None and not self.settled.issuperset(found[1]):
                world.promise(
                    False,
                    f"P1: {where.topic}[{where.partition}]={position} is committed, but chunks "
                    f"{sorted({*found[1]} - self.settled)} of the task at {task.offset} have no result",
                )

    def _account(self, record: Record) -> None:
        """Note which chunks a new results record settles."""
        if record.topic == TOPICS.results:
            results = decode_results(record.value)
            for written in results.written:
                self.settled.update(written.numbers)
            for dead in results.dead:
                self.settled.update(dead.numbers)
            for run in results.skipped:
                self.settled.update(numbers_of(run))

    def _check_report(self, report: JobReport) -> None:
        """P1: all is written but what must be dead, and counted once."""
        dead = len(self.kind.dead())
        self.world.promise(
            (report.state, report.written, report.dead)
            == ("incomplete" if dead else "done", report.tasks - dead, dead),
            f"P1: the job ended as {report.state}: {report.written} of {report.tasks} chunks are written, "
            f"{report.dead} dead, expected {dead}",
        )
        arrays = self.kind.arrays(self.data, self.world.disks.contents("data", "target")).values()
        nbytes = sum(values.nbytes for values in arrays) - self._dead_bytes()
        self.world.promise(
            report.bytes == nbytes, f"P1: {report.bytes} bytes are reported as written, expected {nbytes}"
        )

    def _dead_bytes(self) -> int:
        length = len(self.data)
        firsts = [number * TARGET_CHUNK for number in self.kind.dead()]
        return sum(min(TARGET_CHUNK, length - first) for first in firsts) * self.data.itemsize

    def _check_letters(self) -> None:
        """P1: what is dead has a letter."""
        found = [task_of(record.headers) for record in self.world.cluster.topics.all(TOPICS.dead)]
        letters = {number for task in found if task is not None for number in task[1]}
        dead = self.kind.dead()
        self.world.promise(
            letters == dead,
            f"P1: there are dead letters of chunks {sorted(letters)}, expected {sorted(dead)}",
        )

    def _check_target(self) -> None:
        """P5: the target is byte for byte what a plain program writes."""
        contents = self.world.disks.contents("data", "target")
        expected = self.kind.arrays(self.data, contents)
        plain = MemoryStore()
        for key in contents.list():
            if key.endswith("zarr.json"):
                plain.put(key, contents.get(key))
        for path, values in expected.items():
            found = streamzarr.open_array(contents, path=path, mode="r")[:]
            self.world.promise(
                bool(np.array_equal(found, values)), f"P5: array {path!r} is {found}, expected {values}"
            )
            streamzarr.open_array(plain, path=path, mode="r+")[:] = values
        keys = {*contents.list()}
        self.world.promise(
            keys == {*plain.list()}, f"P5: the target has {sorted(keys)}, expected {sorted(plain.list())}"
        )
        different = [key for key in sorted(keys) if contents.get(key) != plain.get(key)]
        self.world.promise(not different, f"P5: {different} are not the bytes that a plain program writes")


JOBS = JobScenario()
