"""Tasks that kill their process, raise, or never end, among good ones: each is found, the rest written."""

from collections import Counter

import numpy as np
import pytest

import streamzarr as sz
from streamzarr.queue.letters import DeadLetterQueue

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

TASKS = 40
KILL = [3, 4, 9, 17, 22, 28, 33, 39]
ERROR = [0, 11, 12, 30]
ENDLESS = [7, 25]
SECONDS = 120


def run(bench, transforms, *, bad, params, **how):
    """Run a job of 40 tasks, on a fleet that may not restart a worker for any death of its own."""
    data = np.repeat(np.arange(TASKS, dtype="i4"), 16)
    sz.create_array(bench.url("a.zarr"), data=data, chunks=(16,), fill_value=-1)
    options = {"transforms": transforms, "max_restarts": 0, "session_timeout": 6.0, **how}
    report = bench.run(
        "map",
        "a.zarr",
        "b.zarr",
        transform="bad_task",
        params={name: " ".join(map(str, value)) for name, value in params.items()},
        timeout=SECONDS,
        fleet=options,
    )
    with bench.open() as broker:
        letters = {
            int(dict(letter.headers)["streamzarr.task"]): (letter.error_class, letter.message)
            for _, letter in DeadLetterQueue(broker, bench.topics.dead).ls()
        }
    assert (report.written, report.dead) == (TASKS - len(bad), len(bad)), letters
    wanted = np.where(np.isin(data, bad), -1, data + 1)
    np.testing.assert_array_equal(sz.open_array(bench.url("b.zarr"))[...], wanted)
    return letters


def test_eight_kill_four_raise_two_never_end_and_the_rest_is_written(bench, transforms):
    check_found(bench, transforms, kill=KILL, error=ERROR, endless=ENDLESS, threads=2)


def test_workers_of_one_thread_find_them_as_well(bench, transforms):
    check_found(bench, transforms, kill=KILL[::4], error=ERROR[::4], endless=ENDLESS[::2], threads=1)


def check_found(bench, transforms, *, kill, error, endless, threads):
    letters = run(
        bench,
        transforms,
        bad=kill + error + endless,
        params={"kill": kill, "error": error, "endless": endless},
        task_timeout=3.0,
        threads=threads,
    )
    crash = "the process died 3 times while it carried out this task, last by signal 9 (SIGKILL)"
    late = "the task did not end within 3 s, its task_timeout; its process was killed, 3 times in all"
    assert letters == {
        **dict.fromkeys(kill, ("WorkerCrashError", crash)),
        **{number: ("ValueError", f"cannot take the value {number}") for number in error},
        **dict.fromkeys(endless, ("TaskTimeoutError", late)),
    }


@pytest.mark.parametrize(
    ("how", "last"),
    [
        ("segv", "signal 11 (SIGSEGV)"),
        ("abort", "signal 6 (SIGABRT)"),
        ("exit 0", "exit code 0 without a last word"),
        ("exit 143", "exit code 143 without a last word"),
    ],
)
def test_every_way_to_end_a_process_is_a_death_put_down_to_its_task(embedded, transforms, how, last):
    letters = run(embedded, transforms, bad=[5, 6, 20], params={"kill": [5, 6, 20], "how": [how]}, threads=2)
    assert Counter(letters.values()) == {
        ("WorkerCrashError", f"the process died 3 times while it carried out this task, last by {last}"): 3
    }


def test_a_memory_error_is_an_error_like_others(embedded, transforms):
    letters = run(embedded, transforms, bad=[5], params={"no_memory": [5]})
    assert letters[5][0] in ("MemoryError", "_ArrayMemoryError")


def test_a_transform_that_leaks_is_carried_on_with_by_fresh_processes(bench, transforms):
    data = np.repeat(np.arange(200, dtype="i4"), 16)
    sz.create_array(bench.url("a.zarr"), data=data, chunks=(16,))
    how = {"transforms": transforms, "max_restarts": 0, "max_memory": 400 << 20}
    with (
        bench.fleet(2, **how) as fleet,
        bench.submit("map", "a.zarr", "b.zarr", transform="leaky") as job,
    ):
        report = job.wait(SECONDS)
        restarts = sum(status.restarts for status in fleet.status())
    assert (report.state, report.written, report.dead) == ("done", 200, 0)
    assert restarts > 0, "the bound was never met: the test shows nothing"
    np.testing.assert_array_equal(sz.open_array(bench.url("b.zarr"))[...], data + 1)
