"""How workers end, and who is blamed for it: exits of every kind, tasks that do not end, memory."""

import io

import pytest

from streamzarr.errors import ConfigError, WorkerError
from streamzarr.supervisor import Supervisor, WorkerSpec
from tests.integration.supervisor.conftest import TARGETS, eventually
from tests.integration.supervisor.targets import notes

DEATH = "Suspicion(deaths=1, cause='death')"


@pytest.mark.parametrize("code", [0, 1, 75, 78, 143])
def test_an_exit_past_all_last_words_is_a_death_whatever_its_code(pool, log, code):
    supervisor = pool("exits", config={"log": log, "code": code}, ready=False, max_restarts=0)
    eventually(lambda: notes(log) == [DEATH])
    assert supervisor.stop().workers[0].restarts == 1


@pytest.mark.parametrize("code", [1, 3])
def test_sys_exit_by_the_target_is_an_orderly_end_and_nobodys_fault(pool, log, code):
    supervisor = pool("sys_exits", config={"log": log, "code": code}, ready=False, max_restarts=1)
    eventually(lambda: notes(log) == ["None", "None"])
    assert supervisor.stop().workers[0].restarts == 1


def test_an_exit_with_nothing_in_hand_spends_the_budget(pool):
    supervisor = pool("exits_idle", ready=False, max_restarts=0)
    with pytest.raises(WorkerError, match="exit code 0 without a last word"):
        supervisor.wait(30)


def test_a_task_that_does_not_end_is_killed_and_its_neighbours_are_not_blamed(pool, log):
    config = {"log": log, "neighbour": True}
    supervisor = pool("endless", config=config, max_restarts=0, task_timeout=1.0)
    eventually(lambda: notes(log) == ["None None", "Suspicion(deaths=1, cause='timeout') None"])
    assert supervisor.stop().workers[0].restarts == 1


def test_many_short_tasks_outlive_the_task_timeout(pool, log):
    out = io.StringIO()
    config = {"log": log, "seconds": 2.5}
    assert pool("many_short", config=config, max_restarts=0, task_timeout=1.0, stderr=out).wait(30).clean


def test_a_leak_over_many_tasks_costs_nobody_anything(pool, log):
    config = {"log": log, "megabytes": 1, "at_once": False}
    supervisor = pool("leaks", config=config, max_restarts=0, max_memory=80 << 20, drain=20.0)
    eventually(lambda: len(notes(log)) >= 3, timeout=60)
    assert set(notes(log)) == {"None"}
    assert supervisor.failed is None


def test_a_task_that_takes_too_much_memory_at_once_is_killed_and_blamed(pool, log):
    config = {"log": log, "megabytes": 300, "at_once": True}
    supervisor = pool("leaks", config=config, max_restarts=0, max_memory=100 << 20)
    eventually(lambda: notes(log) == ["None", "Suspicion(deaths=1, cause='memory')"])
    assert supervisor.stop().workers[0].restarts == 1


def test_a_bound_below_what_a_worker_needs_for_nothing_ends_the_pool(pool):
    supervisor = pool("loop", max_restarts=1, within=1000.0, max_memory=1 << 20)
    with pytest.raises(WorkerError, match="bytes of memory, max_memory=1048576"):
        supervisor.wait(60)


def test_a_bound_on_memory_needs_something_to_measure_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="psutil is not installed"):
        Supervisor(WorkerSpec(f"{TARGETS}:loop"), 1, max_memory=1 << 30)
