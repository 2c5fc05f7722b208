"""A pool on a host that is no machine: its processes are threads, and the supervisor does not know."""

import contextlib
import sys

import pytest

from streamzarr.errors import ConfigError, WorkerError
from streamzarr.runtime import SYSTEM
from streamzarr.supervisor import Supervision, Supervisor, WorkerSpec
from streamzarr.supervisor.board import CrashTable, Slot
from streamzarr.supervisor.target import run_target

TOKEN = b"0123456789abcdef"


class ThreadChild:
    """A process that is a thread; `kill` makes it dead, though the thread may go on unheard."""

    last_lines = ()

    def __init__(self, host, name, index, number):
        self.pid, self.started_at = number, SYSTEM.now()
        self.slot = Slot(-1)
        self.error, self.said_so, self.exit_code = None, False, None
        self._host, self._number = host, number
        self._supervision = Supervision(name, index, self.slot, host.crashes, self._hear)
        SYSTEM.thread(self._live, name).start()

    def _live(self):
        code = run_target(self._host.spec.target, self._host.spec.config, self._supervision, self._hear)
        if self.exit_code is None:
            self.said_so = True
            self._end(code)

    def _hear(self, message):
        self.error = message.get("error", self.error)
        self._host.tell(self._number)

    def _end(self, code):
        self.exit_code = code
        self._host.tell(self._number)

    def descriptors(self):
        return {self._number}

    def attend(self, readable):
        return self.exit_code is not None

    def tell_stop(self, drain):
        self._supervision.request_stop(drain)

    def kill(self):
        if self.exit_code is None:
            self._end(-9)
        self._supervision.request_stop(0.0)

    def close(self):
        return self.exit_code

    def abandon(self):
        pass


class ThreadHost:
    def __init__(self, spec, options, *, env, stderr, runtime):
        self.spec, self.crashes, self.children = spec, CrashTable(-1), []
        self._bell, self._news = runtime.bell(), set()

    def open(self, at_exit):
        return contextlib.nullcontext()

    def launch(self, name, index):
        if not self.spec.config.get("starts", True):
            raise OSError("no more processes")
        self.children.append(ThreadChild(self, name, index, len(self.children) + 1))
        return self.children[-1]

    def tell(self, number):
        self._news.add(number)
        self._bell.ring()

    def wait(self, descriptors, timeout):
        self._bell.wait(min(timeout, 60.0))
        news, self._news = self._news, set()
        return news & descriptors

    def wake(self):
        self._bell.ring()

    def memory(self, pid):
        return 0


def loop(supervision, starts=True):
    while not supervision.wait_stop(0.01):
        supervision.beat()


def hold(supervision):
    supervision.started(TOKEN)
    loop(supervision)


def refuse(supervision):
    raise ConfigError("no such thing")


def make(target, workers=2, config=None, **options):
    hosts = []

    def host(*arguments, **keywords):
        hosts.append(ThreadHost(*arguments, **keywords))
        return hosts[0]

    sys.modules.setdefault("thread_host_targets", sys.modules[__name__])
    spec = WorkerSpec(f"thread_host_targets:{target}", config or {})
    return Supervisor(spec, workers, host=host, **options), hosts[0]


def test_starts_resizes_and_drains():
    supervisor, _ = make("loop")
    with supervisor:
        supervisor.wait_ready(30)
        supervisor.resize(3)
        supervisor.wait_ready(30)
        assert [worker.state for worker in supervisor.status()] == ["ready"] * 3
    assert [worker.outcome for worker in supervisor.stop().workers] == ["drained"] * 3


def test_a_killed_one_is_replaced_and_its_task_suspected():
    supervisor, host = make("hold", workers=1)
    with supervisor:
        supervisor.wait_ready(30)
        host.children[0].kill()
        supervisor._monitor.wait(lambda: len(host.children) == 2, 30)
        assert host.crashes.look_up(TOKEN) == (1, "death")
        assert supervisor.status()[0].restarts == 1


def test_one_that_says_why_it_cannot_run_ends_the_pool():
    supervisor, _ = make("refuse")
    with pytest.raises(ConfigError, match="no such thing"):
        supervisor.start().wait(30)


def test_a_host_that_starts_nothing_uses_up_the_budget():
    supervisor, _ = make("loop", workers=1, config={"starts": False}, max_restarts=1, within=1.0)
    with pytest.raises(WorkerError, match="cannot be started: no more processes"):
        supervisor.start().wait(30)
