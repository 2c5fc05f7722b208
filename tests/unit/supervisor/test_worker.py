"""A worker's life with a clock that is only a number and a process that does what the test says."""

import math
from collections import deque

import pytest

from streamzarr.errors import WorkerError
from streamzarr.supervisor.board import TOKEN_BYTES
from streamzarr.supervisor.budget import RestartPolicy
from streamzarr.supervisor.worker import KILL_TIMEOUT, START_TIMEOUT, Worker

TOKEN = bytes(TOKEN_BYTES)


class ScriptedSlot:
    heartbeat = None

    def __init__(self):
        self.tokens = ()

    def in_flight(self):
        return self.tokens


class ScriptedProcess:
    pid = 4711
    error = None

    def __init__(self, now):
        self.started_at = now
        self.slot = ScriptedSlot()
        self.last_lines = deque()
        self.told, self.killed, self.abandoned = [], False, False
        self.exit_code = None

    def descriptors(self):
        return set()

    def attend(self, readable):
        return self.exit_code is not None

    def tell_stop(self, drain):
        self.told.append(drain)

    def kill(self):
        self.killed = True

    def close(self):
        return self.exit_code

    def abandon(self):
        self.abandoned = True


class Crashes:
    def __init__(self):
        self.tokens = []

    def add(self, token):
        self.tokens.append(token)


class Life:
    """A worker, its processes and the time."""

    def __init__(self, **options):
        self.now, self.grace = 0.0, -math.inf
        self.processes, self.crashes = [], Crashes()
        policy = RestartPolicy(options.pop("max_restarts", 3), 60.0)
        options.setdefault("hang_timeout", 10.0)
        self.worker = Worker("worker-0", 0, self.launch, self.crashes, policy=policy, **options)
        self.at(0.0)

    def launch(self, name, index):
        self.processes.append(ScriptedProcess(self.now))
        return self.processes[-1]

    @property
    def process(self):
        return self.processes[-1]

    def at(self, now):
        self.now = now
        self.worker.attend(set(), now)
        self.worker.tick(now, self.grace)

    def beat(self, now):
        self.process.slot.heartbeat = self.now = now

    def die(self, now, exit_code):
        self.process.exit_code = exit_code
        self.at(now)


def test_from_start_to_ready_to_hung():
    life = Life()
    assert life.worker.state == "starting"
    assert life.worker.due(life.grace) == START_TIMEOUT
    life.beat(50.0)
    assert life.worker.state == "ready"
    assert life.worker.due(life.grace) == 60.0
    life.at(59.9)
    assert not life.process.killed
    life.at(60.0)
    assert life.process.killed


def test_a_start_that_hangs_is_killed_too():
    life = Life()
    life.at(START_TIMEOUT - 0.1)
    assert not life.process.killed
    life.at(START_TIMEOUT)
    assert life.process.killed


def test_patience_of_a_long_hang_timeout_holds_from_the_start():
    assert Life(hang_timeout=500.0).worker.due(-math.inf) == 500.0
    assert Life(hang_timeout=math.inf).worker.due(-math.inf) == math.inf


def test_silence_before_the_supervisor_was_awake_does_not_count():
    life = Life()
    life.beat(1.0)
    life.grace = 100.0
    life.at(105.0)
    assert not life.process.killed
    life.at(110.0)
    assert life.process.killed


def test_deaths_are_counted_and_waited_for():
    life = Life(max_restarts=2)
    life.process.slot.tokens = (TOKEN, TOKEN)
    life.die(1.0, -11)
    assert life.crashes.tokens == [TOKEN]  # one death, however often it was held
    assert (life.worker.state, life.worker.due(-math.inf), life.worker.restarts) == ("backoff", 1.1, 0)
    life.at(1.05)
    assert len(life.processes) == 1
    life.at(1.1)
    assert (life.worker.state, life.worker.restarts) == ("starting", 1)
    life.die(1.2, 1)
    assert life.worker.due(-math.inf) == pytest.approx(1.4)
    life.at(1.5)
    life.process.last_lines.append("Segmentation fault")
    life.die(1.6, -11)
    assert life.worker.outcome == "failed"
    assert isinstance(life.worker.error, WorkerError)
    assert str(life.worker.error) == (
        "worker-0 died 3 times within 60 s, max_restarts=2 allows no further start; "
        "last: signal 11 (SIGSEGV)\n  | Segmentation fault"
    )
    assert life.worker.due(-math.inf) == math.inf


def test_drain_is_told_once_or_sooner_and_kills_at_its_end():
    life = Life()
    life.beat(1.0)
    life.worker.drain(31.0, 1.0)
    life.worker.drain(40.0, 2.0)
    life.worker.drain(11.0, 3.0)
    assert life.process.told == [30.0, 8.0]
    life.process.slot.tokens = (TOKEN,)
    life.at(10.9)
    assert not life.process.killed
    life.at(11.0)
    assert life.process.killed
    life.die(11.1, -9)
    report = life.worker.report()
    assert (report.outcome, report.exit_code, report.left) == ("killed", -9, (TOKEN,))
    assert life.crashes.tokens == []  # our doing, not the work's


def test_a_draining_worker_need_not_beat():
    life = Life()
    life.beat(1.0)
    life.worker.drain(100.0, 1.0)
    life.at(90.0)
    assert not life.process.killed


def test_a_process_stuck_in_the_kernel_is_left_behind_and_does_not_hold_up_the_end():
    life = Life()
    life.beat(1.0)
    life.worker.drain(2.0, 1.0)
    life.at(2.0)
    assert life.process.killed
    assert life.worker.due(-math.inf) == 2.0 + KILL_TIMEOUT
    life.at(2.0 + KILL_TIMEOUT)
    assert life.process.abandoned
    assert (life.worker.state, life.worker.report().exit_code, life.worker.pid) == ("ended", None, None)


@pytest.mark.parametrize(
    ("exit_code", "outcome"),
    [(0, "drained"), (143, "drained"), (1, "failed"), (-11, "failed"), (75, "failed")],
)
def test_how_a_drain_ends(exit_code, outcome):
    life = Life()
    life.worker.drain(30.0, 0.0)
    life.die(1.0, exit_code)
    assert life.worker.outcome == outcome


@pytest.mark.parametrize(
    ("exit_code", "counted"), [(143, False), (75, False), (1, True), (-9, True), (3, True)]
)
def test_which_deaths_are_put_down_to_the_work(exit_code, counted):
    life = Life()
    life.process.slot.tokens = (TOKEN,)
    life.die(1.0, exit_code)
    assert bool(life.crashes.tokens) == counted
    assert life.worker.state == "backoff"


def test_ended_before_it_began():
    crashes = Crashes()
    worker = Worker("worker-0", 0, None, crashes, policy=RestartPolicy(), hang_timeout=1.0)
    worker.drain(10.0, 0.0)
    assert worker.report().outcome == "drained"
