"""Submits that are killed leave what can be gone on with; of those at the same time one remains."""

import shutil
import signal
import subprocess
import sys

import msgspec
import numpy as np
import pytest

import streamzarr as sz
from streamzarr import jobs
from streamzarr.errors import ConfigError, ContainsArrayError, NodeExistsError, StreamzarrError
from streamzarr.jobs import places
from streamzarr.jobs.register import append_event
from streamzarr.jobs.wire import Ended
from tests.support.submits import DATA, prepared, states


@pytest.fixture
def place(embedded, monkeypatch):
    """A folder to work in, and the embedded broker."""
    return prepared(embedded, monkeypatch)


@pytest.fixture
def any_place(bench, monkeypatch):
    """A folder to work in, and a broker of each kind."""
    return prepared(bench, monkeypatch)


# ---------------------------------------------------------------- killed on the way

KILL = """
import os, signal, sys
from streamzarr import jobs
module = sys.modules["streamzarr.jobs.{module}"]
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
{patch}
jobs.submit({kind!r}, "a.zarr", "b.zarr", broker={broker!r}, prefix={prefix!r}, overwrite={overwrite})
"""
AFTER_FIRST_ARRAY = """
made = module.create_pyramid
def half(store, *rest, **how):
    put, count = store.put, []
    def some(*a, **k):
        count.append(1)
        return die() if len(count) > 2 and not isinstance(store, module.Rehearsal) else put(*a, **k)
    store.put = some
    return made(store, *rest, **how)
module.create_pyramid = half
"""
POINTS = {
    "before the target": ("submit", "module.is_to_be_replaced = die"),
    "after the claim": ("submit", "module.claim = die; module.is_to_be_replaced = lambda *a, **k: True"),
    "before the registration": ("submit", "module.append_event = die"),
    "after the registration": ("submit", "module.end_rivals = die"),
    "before the first task": ("handle", "module.JobHandle.start = die"),
    "within a pyramid": ("stages", AFTER_FIRST_ARRAY),
}


def killed_at(bench, point, kind="copy", overwrite=False):
    module, patch = POINTS[point]
    script = KILL.format(
        module=module, patch=patch, kind=kind, broker=bench.broker, prefix=bench.prefix, overwrite=overwrite
    )
    done = subprocess.run([sys.executable, "-c", script], timeout=120, check=False, cwd=bench.folder)
    assert done.returncode == -signal.SIGKILL


def finish(bench, kind, **options):
    """Do what the message of a killed submitter's job asks for: resume it, or submit again."""
    with bench.fleet(1):
        registered = list(states(bench))
        if registered:
            with bench.resume(registered[-1]) as job:
                return job.wait(60)
        with bench.submit(kind, "a.zarr", "b.zarr", **options) as job:
            return job.wait(60)


@pytest.mark.parametrize("kind", ["copy", "downsample"])
@pytest.mark.parametrize("point", POINTS)
def test_a_submitter_that_is_killed_leaves_what_resume_or_the_same_submit_finishes(place, point, kind):
    if point == "within a pyramid" and kind == "copy":
        point = "before the registration"
    killed_at(place, point, kind)
    registered = point in ("after the registration", "before the first task")
    assert len(states(place)) == registered
    assert finish(place, kind).state == "done"
    np.testing.assert_array_equal(sz.open_array("b.zarr" if kind == "copy" else "b.zarr/0")[...], DATA)


@pytest.mark.parametrize("kind", ["copy", "downsample"])
def test_a_submitter_that_is_killed_twice_leaves_what_the_same_submit_finishes(place, kind):
    """The second has replaced what the first had left: its documents end in blanks."""
    for _ in range(2):
        killed_at(place, "before the registration", kind)
    assert finish(place, kind).state == "done"


@pytest.mark.parametrize("point", ["after the claim", "before the registration", "after the registration"])
def test_the_same_overwrite_again_deals_with_a_submitter_that_was_killed(any_place, point):
    place = any_place
    sz.create_array("b.zarr", data=DATA + 5, chunks=(4,))
    killed_at(place, point, overwrite=True)
    if point == "after the claim":
        np.testing.assert_array_equal(sz.open_array("b.zarr")[...], DATA + 5)
    with place.fleet(1), place.submit("copy", "a.zarr", "b.zarr", overwrite=True) as job:
        assert job.wait(60).state == "done"
    np.testing.assert_array_equal(sz.open_array("b.zarr")[...], DATA)


def test_only_what_a_killed_submitter_left_is_taken_over(place):
    sz.create_array("b.zarr", shape=(64,), chunks=(8,), dtype="f4")  # other attributes
    with pytest.raises(ContainsArrayError):
        place.submit("copy", "a.zarr", "b.zarr")
    sz.create_array("c.zarr", data=DATA, chunks=(8,), attributes={"units": "kelvin"})  # chunks
    with pytest.raises(ContainsArrayError):
        place.submit("copy", "a.zarr", "c.zarr")
    place.submit("copy", "a.zarr", "d.zarr").close()  # a job's, although nothing is written yet
    with pytest.raises(NodeExistsError, match=r"job \w{26} writes to .*d\.zarr; resume it, or overwrite"):
        place.submit("copy", "a.zarr", "d.zarr")


# ---------------------------------------------------------------- at the same time


def raced(bench, monkeypatch, overwrite, second="a.zarr"):
    """Submit one job while another is between its target and its registration; return what became of both."""
    module = sys.modules["streamzarr.jobs.submit"]
    append, outcome = module.append_event, {}

    def between(*arguments):
        if not outcome:
            outcome["second"] = None
            outcome["second"] = bench.submit("copy", second, "b.zarr", overwrite=overwrite)
        append(*arguments)

    monkeypatch.setattr(module, "append_event", between)
    try:
        outcome["first"] = bench.submit("copy", "a.zarr", "b.zarr", overwrite=overwrite)
    except StreamzarrError as error:
        outcome["first"] = error
    return outcome


@pytest.mark.parametrize("overwrite", [False, True])
def test_of_two_submits_for_one_target_at_the_same_time_one_remains(any_place, monkeypatch, overwrite):
    outcome = raced(any_place, monkeypatch, overwrite)
    assert sorted(states(any_place).values()) == [False, True]
    assert isinstance(outcome["first"], NodeExistsError)  # the other one's target is there
    assert "another process has replaced" in str(outcome["first"])
    winner = outcome["second"]
    with any_place.fleet(1), winner:
        assert winner.wait(60).state == "done"


@pytest.mark.parametrize("chunks", [8, 16])
def test_of_two_that_overwrite_the_one_remains_whose_target_is_there(place, monkeypatch, chunks):
    other = {"attributes": {"units": "metre"}, "fill_value": -1}
    sz.create_array("c.zarr", data=DATA + 100, chunks=(chunks,), **other)
    outcome = raced(place, monkeypatch, overwrite=True, second="c.zarr")
    assert isinstance(outcome["first"], NodeExistsError)
    assert states(place)[outcome["second"].id] is False
    with place.fleet(1), outcome["second"] as job:
        assert job.wait(60).state == "done"
    target = sz.open_array("b.zarr")
    assert (target.attrs.asdict(), target.fill_value) == ({"units": "metre"}, -1)
    np.testing.assert_array_equal(target[...], DATA + 100)


def test_a_job_that_overwrites_what_another_submit_has_just_made_remains(place, monkeypatch):
    module = sys.modules["streamzarr.jobs.submit"]
    make, second = module.make_stages, []

    def made(request, source, etag, store, **how):
        stages = make(request, source, etag, store, **how)
        if not second:  # what is made in memory first is made elsewhere
            second.append(None)
            second[0] = place.submit("copy", "c.zarr", "b.zarr", overwrite=True)
        return stages

    monkeypatch.setattr(module, "make_stages", made)
    sz.create_array("c.zarr", data=DATA + 100, chunks=(8,))
    with pytest.raises(NodeExistsError, match="another process has replaced"):
        place.submit("copy", "a.zarr", "b.zarr")
    with place.fleet(1), second[0] as job:
        assert job.wait(60).state == "done"
    np.testing.assert_array_equal(sz.open_array("b.zarr")[...], DATA + 100)


def test_a_job_whose_target_was_taken_over_is_not_resumed(place):
    first = place.submit("copy", "a.zarr", "b.zarr")
    first.close()
    sz.create_array("c.zarr", data=DATA + 100, chunks=(8,))
    with place.fleet(1), place.submit("copy", "c.zarr", "b.zarr", overwrite=True) as second:
        assert second.wait(60).state == "done"
        with pytest.raises(ConfigError, match=rf"job {second.id} has taken over .*b\.zarr"):
            place.resume(first.id)
    assert states(place)[first.id]
    np.testing.assert_array_equal(sz.open_array("b.zarr")[...], DATA + 100)


def test_an_end_that_is_entered_late_does_not_undo_a_cancellation(place):
    """Its driver had not yet heard that another job has taken the target over."""
    with place.submit("copy", "a.zarr", "b.zarr") as first:
        pass
    shutil.rmtree("b.zarr")
    place.submit("copy", "a.zarr", "b.zarr").close()
    with place.open() as broker, place.watch(first.id) as watcher:
        append_event(broker, place.topics, Ended(first.id, "incomplete", 0, 8, 0, 0, 0))
        watcher.catch_up()
        assert watcher.progress().state == "cancelled"
    assert states(place)[first.id]
    with pytest.raises(ConfigError, match="has taken over"):
        place.resume(first.id)


def test_a_job_that_was_only_cancelled_is_resumed_though_another_follows(place):
    first, second = (place.submit("copy", "a.zarr", name) for name in ("b.zarr", "c.zarr"))
    first.cancel()
    first.close()
    second.close()
    with place.fleet(1), place.resume(first.id) as resumed:
        assert resumed.wait(60).state == "done"


def test_a_forged_registration_does_not_keep_others_from_submitting(place):
    forged = place.submit("copy", "a.zarr", "b.zarr")
    forged.close()
    with place.open() as broker:
        [entry] = jobs.read_register(broker, place.topics).values()
    stage = msgspec.structs.replace(entry.submitted.stages[0], target="no url://#")
    assert not places.writes_to(msgspec.structs.replace(entry.submitted, stages=(stage,)), "b.zarr")
