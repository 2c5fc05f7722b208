"""A worker's life with a clock that is only a number and a process that does what the test says."""

import math
from collections import deque

import pytest

from streamzarr.errors import WorkerError
from streamzarr.supervisor.board import TOKEN_BYTES
from streamzarr.supervisor.budget import Restart, RestartPolicy
from streamzarr.supervisor.watch import START_TIMEOUT, Bounds
from streamzarr.supervisor.worker import KILL_TIMEOUT, Worker

TOKEN = bytes(TOKEN_BYTES)
OTHER = b"another token :)"


class ScriptedSlot:
    heartbeat = None
    worked = False

    def __init__(self):
        self.tokens = ()
        self.since = 0.0

    def in_flight(self):
        return self.tokens

    def held(self):
        return tuple((token, self.since) for token in self.tokens)


class ScriptedProcess:
    pid = 4711
    error = None
    said_so = False

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


class Crashes(dict):
    def add(self, token, cause, *, alone):
        self.setdefault(token, []).append((cause, alone))


class Life:
    """A worker, its processes and the time."""

    def __init__(self, **options):
        self.now, self.grace = 0.0, -math.inf
        self.processes, self.crashes = [], Crashes()
        restart = options.pop("restart", Restart.TRANSIENT)
        policy = RestartPolicy(options.pop("max_restarts", 3), 60.0, restart)
        options.setdefault("hang_timeout", 10.0)
        self.memory = 0
        self.worker = Worker(
            *("worker-0", 0, self.launch, self.crashes),
            policy=policy,
            bounds=Bounds(**options),
            drain=5.0,
            memory=lambda pid: self.memory,
        )
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

    def die(self, now, exit_code, said_so=False):
        self.process.exit_code = exit_code
        self.process.said_so = said_so
        self.at(now)

    def work(self, now, *tokens):
        """Beat, with tokens in flight since now."""
        self.beat(now)
        self.process.slot.tokens, self.process.slot.since = tokens, now
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
    life.die(1.0, -11)
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


def test_deaths_put_down_to_new_tasks_spend_nothing_and_those_of_known_suspects_do():
    life = Life(max_restarts=0)
    for number in range(20):
        life.work(life.now + 1.0, bytes([number]) * TOKEN_BYTES)
        life.die(life.now + 0.1, -11)
        assert life.worker.state == "backoff"
        life.at(life.worker.due(-math.inf))
    assert life.worker.restarts == 20
    life.work(life.now + 1.0, TOKEN)  # the first one again
    life.die(life.now + 0.1, -11)
    assert life.worker.outcome == "failed"


def test_one_death_however_often_its_token_was_held():
    life = Life()
    life.work(1.0, TOKEN, TOKEN)
    life.die(2.0, -11)
    assert life.crashes == {TOKEN: [("death", True)]}


def test_those_in_flight_together_are_suspects_and_nothing_counts_against_them():
    life = Life(max_restarts=0)
    life.work(1.0, TOKEN, OTHER)
    life.die(2.0, -11)
    assert life.crashes == {TOKEN: [("death", False)], OTHER: [("death", False)]}
    assert life.worker.state == "backoff"


@pytest.mark.parametrize("exit_code", [0, 1, 75, 78, 143, -9, -11])
def test_an_end_without_last_words_is_a_death_whatever_the_exit_code(exit_code):
    life = Life()
    life.work(1.0, TOKEN)
    life.die(2.0, exit_code)
    assert life.worker.state == "backoff"
    assert life.crashes == {TOKEN: [("death", True)]}


@pytest.mark.parametrize(
    ("exit_code", "state"), [(0, "ended"), (1, "backoff"), (75, "backoff"), (78, "ended"), (143, "backoff")]
)
def test_an_orderly_end_is_nobodys_fault(exit_code, state):
    life = Life()
    life.work(1.0, TOKEN)
    life.die(2.0, exit_code, said_so=True)
    assert life.worker.state == state
    assert life.crashes == {}


def test_an_exit_with_nothing_in_flight_and_no_word_spends_the_budget():
    life = Life(max_restarts=0)
    life.die(1.0, 0)
    assert "last: exit code 0 without a last word" in str(life.worker.error)


# Tasks that do not end -------------------------------------------------------------------------------------


def beating(life, until, step=0.5):
    """Live on, with a heartbeat all the time."""
    while life.now < until and not life.process.killed:
        life.beat(min(until, life.now + step))
        life.at(life.now)


def test_a_task_that_does_not_end_is_killed_and_it_alone_is_blamed():
    life = Life(max_restarts=0, task_timeout=20.0)
    life.work(1.0, TOKEN)
    beating(life, 20.9)
    assert not life.process.killed
    life.process.slot.held = lambda: ((TOKEN, 1.0), (OTHER, 20.0))
    life.process.slot.tokens = (TOKEN, OTHER)
    beating(life, 25.0)
    assert life.process.killed
    life.die(25.1, -9)
    assert life.crashes == {TOKEN: [("timeout", True)]}
    assert life.worker.state == "backoff"


def test_a_task_that_ended_just_before_the_kill_is_not_blamed_for_it():
    life = Life(task_timeout=20.0)
    life.work(1.0, TOKEN)
    beating(life, 25.0)
    assert life.process.killed
    life.process.slot.tokens = ()
    life.die(25.1, -9)
    assert life.crashes == {}


def test_time_for_which_the_process_was_stopped_is_not_the_tasks():
    life = Life(hang_timeout=60.0, task_timeout=20.0)
    life.work(1.0, TOKEN)
    beating(life, 10.0)
    for now in range(11, 50):  # SIGSTOP: silence, but not for long enough to be hung
        life.at(float(now))
    life.beat(50.0)  # SIGCONT
    life.at(50.0)
    assert not life.process.killed
    beating(life, 69.0)
    assert not life.process.killed
    beating(life, 75.0)
    assert life.process.killed


def test_time_before_the_supervisor_was_awake_is_not_the_tasks():
    life = Life(hang_timeout=60.0, task_timeout=20.0)
    life.work(1.0, TOKEN)
    life.grace = 50.0
    life.beat(50.1)
    life.at(50.1)
    beating(life, 69.0)
    assert not life.process.killed


# Memory ----------------------------------------------------------------------------------------------------


def test_a_process_with_too_much_memory_drains_and_is_replaced_at_nobodys_expense():
    life = Life(max_restarts=0, max_memory=1000)
    for _ in range(5):
        life.work(life.now + 1.0, TOKEN)
        life.process.slot.worked = True
        life.memory = 1100
        beating(life, life.now + 1.5)
        assert life.process.told == [5.0]
        assert (life.worker.state, life.process.killed) == ("draining", False)
        life.memory = 0
        life.die(life.now + 1.0, 0, said_so=True)
        assert (life.worker.state, life.crashes) == ("starting", {})
    assert life.worker.restarts == 5


@pytest.mark.parametrize("why", ["grows on", "does not drain"])
def test_a_process_that_grows_on_or_does_not_drain_is_killed_for_what_it_does(why):
    life = Life(max_restarts=0, max_memory=1000)
    life.work(1.0, TOKEN)
    life.memory = 1100
    beating(life, 3.0)
    if why == "grows on":
        life.memory = 1251
    beating(life, 10.0)
    assert life.process.killed
    assert life.now < (4.5 if why == "grows on" else 8.5)
    life.die(life.now, -9)
    assert life.crashes == {TOKEN: [("memory", True)]}
    assert life.worker.state == "backoff"


def test_a_process_that_needs_too_much_memory_for_nothing_spends_the_budget():
    life = Life(max_restarts=0, max_memory=1000)
    life.memory = 1100
    life.beat(1.0)
    beating(life, 3.0)
    life.die(4.0, 0, said_so=True)
    assert "1100 bytes of memory, max_memory=1000" in str(life.worker.error)


# Stopping --------------------------------------------------------------------------------------------------


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
    assert life.crashes == {}  # our doing, not the work's


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
    ("exit_code", "said_so", "outcome"),
    [
        *((0, True, "drained"), (143, True, "drained"), (1, True, "failed"), (75, True, "failed")),
        *((0, False, "failed"), (-11, False, "failed")),
    ],
)
def test_how_a_drain_ends(exit_code, said_so, outcome):
    life = Life()
    life.worker.drain(30.0, 0.0)
    life.die(1.0, exit_code, said_so)
    assert life.worker.outcome == outcome


def test_ended_before_it_began():
    bounds, memory = Bounds(), lambda pid: 0
    worker = Worker(
        *("worker-0", 0, None, Crashes()), policy=RestartPolicy(), bounds=bounds, drain=1.0, memory=memory
    )
    worker.drain(10.0, 0.0)
    assert worker.report().outcome == "drained"


@pytest.mark.parametrize(
    ("restart", "after_finish", "after_death"),
    [
        ("transient", "finished", "backoff"),
        ("permanent", "backoff", "backoff"),
        ("temporary", "finished", "failed"),
    ],
)
def test_which_ends_are_followed_by_another_start(restart, after_finish, after_death):
    for exit_code, said_so, expected in ((0, True, after_finish), (-9, False, after_death)):
        life = Life(restart=Restart(restart))
        life.beat(1.0)
        life.die(2.0, exit_code, said_so)
        assert (life.worker.outcome or life.worker.state) == expected
        assert life.worker.error is None, "the others go on"
        life.at(50.0)
        assert len(life.processes) == (2 if expected == "backoff" else 1)


def test_a_temporary_worker_whose_task_killed_it_is_not_started_again():
    life = Life(restart=Restart.TEMPORARY)
    life.work(1.0, TOKEN)
    life.die(2.0, -9)
    assert life.worker.outcome == "failed"
    assert life.crashes == {TOKEN: [("death", True)]}


def test_a_permanent_worker_that_finishes_again_and_again_uses_its_budget_up():
    life = Life(restart=Restart.PERMANENT, max_restarts=2)
    for now in (1.0, 20.0, 40.0):
        life.beat(now)
        life.die(now + 0.1, 0, said_so=True)
        life.at(now + 18.0)
    assert life.worker.outcome == "failed"
    assert isinstance(life.worker.error, WorkerError)
    assert "last: it finished" in str(life.worker.error)
