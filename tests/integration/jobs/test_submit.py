"""A submit that fails has changed nothing, and one that is killed leaves what can be gone on with."""

import math
import os
import shutil
import signal
import subprocess
import sys

import msgspec
import numpy as np
import pytest

import streamzarr as sz
from streamzarr import jobs
from streamzarr.errors import (
    ConfigError,
    ContainsArrayError,
    LimitExceededError,
    NodeExistsError,
    QueueError,
    StreamzarrError,
    UnsupportedError,
)
from streamzarr.jobs import places
from streamzarr.jobs.check import Request
from streamzarr.jobs.register import append_event
from streamzarr.jobs.stages import registration
from streamzarr.jobs.target import TargetOptions
from streamzarr.jobs.wire import Ended, Layout, Stage
from tests.support.bench import tree_digest
from tests.support.ids import stable

DATA = np.arange(64, dtype="f4")


def prepared(bench, monkeypatch):
    """Go to the folder of `bench`, with a source there, and a target that is there already."""
    monkeypatch.chdir(bench.folder)
    sz.create_array("a.zarr", data=DATA, chunks=(8,), attributes={"units": "kelvin"})
    sz.create_array("old.zarr", data=DATA + 1, chunks=(16,))
    return bench


@pytest.fixture
def place(embedded, monkeypatch):
    """A folder to work in, and the embedded broker."""
    return prepared(embedded, monkeypatch)


@pytest.fixture
def any_place(bench, monkeypatch):
    """A folder to work in, and a broker of each kind."""
    return prepared(bench, monkeypatch)


def states(bench):
    with bench.open() as broker:
        return {job: entry.cancelled for job, entry in jobs.read_register(broker, bench.topics).items()}


# ---------------------------------------------------------------- places


SPELLINGS = [
    "a.zarr",
    "./a.zarr",
    "x/../a.zarr",
    "link.zarr",
    "file://{folder}/a.zarr",
    "FILE://{folder}/a.zarr",
    "file://localhost{folder}/a.zarr",
    "{folder}/./a.zarr/",
    ".",
    "{folder}",
    "a.zarr/inside",
    "link.zarr/deep/inside",
]


@pytest.mark.parametrize("kind", ["copy", "downsample"])
@pytest.mark.parametrize("target", SPELLINGS)
def test_source_and_target_may_not_contain_one_another_whatever_the_spelling(place, kind, target):
    os.symlink("a.zarr", "link.zarr")
    before = tree_digest(place.folder)
    for overwrite in (True, False):
        with pytest.raises(ConfigError, match="the same place, or one lies in the other"):
            jobs.submit(
                kind,
                "a.zarr",
                target.format(folder=place.folder),
                broker=place.broker,
                overwrite=overwrite,
            )
    assert tree_digest(place.folder) == before


def test_a_group_above_the_source_is_no_target(place):
    sz.create_group("g.zarr").create_array("x", data=DATA)
    for kind in ("copy", "downsample"):
        with pytest.raises(ConfigError, match="one lies in the other"):
            jobs.submit(kind, "g.zarr/x", "g.zarr", broker=place.broker, overwrite=True)
    np.testing.assert_array_equal(sz.open_array("g.zarr/x")[...], DATA)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("below", ["inside", "very/deep/inside"])
def test_a_target_inside_any_array_is_refused(place, zarr_format, below):
    sz.create_array("other.zarr", data=DATA, zarr_format=zarr_format)
    before = tree_digest(place.folder / "other.zarr")
    for kind in ("copy", "downsample"):
        with pytest.raises(ContainsArrayError, match=r"lies in the array .*other\.zarr"):
            jobs.submit(kind, "a.zarr", f"other.zarr/{below}", broker=place.broker, overwrite=True)
    assert tree_digest(place.folder / "other.zarr") == before


@pytest.mark.parametrize("queue", ["queue.db", "q/queue.db"])
def test_a_target_that_is_or_holds_the_queue_is_refused(place, queue):
    (place.folder / "q").mkdir()
    broker = f"sqlite:///{queue}"
    with place.open() as opened:
        place.topics.ensure(opened)
    sz.create_group("q")
    for target in (queue, f"./{queue}", f"{queue}-wal", f"{queue}-shm", f"{queue}-live", "q"):
        if target == "q" and queue == "queue.db":
            continue
        for overwrite in (True, False):
            with pytest.raises(ConfigError, match="holds, the file of the queue"):
                jobs.submit("copy", "a.zarr", target, broker=broker, overwrite=overwrite)


@pytest.mark.parametrize("kind", ["copy", "downsample"])
@pytest.mark.parametrize("name", ["1", "other.zarr", "deep/other.zarr"])
@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_plain_folder_that_holds_arrays_is_no_target(place, kind, name, zarr_format, overwrite):
    sz.create_array(f"folder/{name}", data=DATA, zarr_format=zarr_format)
    before = tree_digest(place.folder / "folder")
    with pytest.raises(NodeExistsError, match=f"is no Zarr node and holds one, '{name}'"):
        place.submit(kind, "a.zarr", "folder", overwrite=overwrite)
    assert tree_digest(place.folder / "folder") == before


@pytest.mark.parametrize(
    "places", [("memory://a", "b.zarr"), ("a.zarr", "memory://b"), ("a.zarr", "MEMORY://")]
)
def test_places_in_memory_are_refused_at_once(place, places):
    with pytest.raises(ConfigError, match="which only this process can see"):
        jobs.submit("copy", *places, broker=place.broker)


def test_a_target_that_can_only_be_read_is_refused(place):
    with pytest.raises(UnsupportedError, match="can only be read"):
        jobs.submit("copy", "a.zarr", "zip:///nowhere/b.zip", broker=place.broker)


# ---------------------------------------------------------------- nothing changed


REFUSED = [
    ({"kind": "cpoy"}, "kind is 'cpoy', expected copy, map or downsample"),
    ({"kind": None}, "kind is None"),
    ({"source": ""}, "source is '', expected text"),
    ({"target": ""}, "target is '', expected text"),
    ({"target": " "}, "target is ' ', expected text"),
    ({"target": None}, "target is None, expected text"),
    ({"broker": ""}, "broker is '', expected text"),
    ({"broker": None}, "broker is None, expected text"),
    ({"prefix": ""}, "prefix is '', expected 1 to 200 letters"),
    ({"prefix": "a/b"}, "prefix is 'a/b', expected"),
    ({"max_lag": 0}, "max_lag is 0, expected an integer, 1 or more"),
    ({"max_lag": -1}, "max_lag is -1"),
    ({"max_lag": True}, "max_lag is True"),
    ({"max_lag": 10.0}, "max_lag is 10.0"),
    ({"max_lag": math.nan}, "max_lag is nan"),
    ({"max_lag": None}, "max_lag is None"),
    ({"missing": "fil"}, "missing is 'fil', expected fill or error"),
    ({"missing": None}, "missing is None"),
    ({"params": [1]}, "a copy job takes no params"),
    ({"params": {}}, "a copy job takes no params"),
    ({"levels": 2}, "a copy job takes no levels, got levels=2"),
    ({"factor": 2}, "a copy job takes no factor, got factor=2"),
    ({"method": "max"}, "a copy job takes no method, got method='max'"),
    ({"transform": "celsius"}, "a copy job takes no transform"),
    ({"kind": "map"}, "a map job needs transform="),
    ({"kind": "map", "transform": ""}, "transform is '', expected text"),
    ({"kind": "map", "transform": "t", "params": [1]}, r"params is \[1\], expected a mapping"),
    ({"kind": "map", "transform": "t", "params": {1: 2}}, "the key 1 is no keyword"),
    ({"kind": "map", "transform": "t", "params": {"x": (1,)}}, "'x' is a tuple"),
    ({"kind": "map", "transform": "t", "levels": 2}, "a map job takes no levels"),
    ({"kind": "downsample", "levels": 0}, "levels is 0"),
    ({"kind": "downsample", "levels": True}, "levels is True"),
    ({"kind": "downsample", "levels": 2.0}, "levels is 2.0"),
    ({"kind": "downsample", "levels": 65}, "levels is 65, expected at most 64"),
    ({"kind": "downsample", "factor": True}, "factor is True"),
    ({"kind": "downsample", "factor": 2.0}, "factor is 2.0"),
    ({"kind": "downsample", "factor": 0}, "factor is 0"),
    (
        {"kind": "downsample", "factor": (2, 2)},
        r"factor is \[2, 2\], expected one integer, or one",
    ),
    ({"kind": "downsample", "factor": [True]}, "an entry of factor is True"),
    ({"kind": "downsample", "factor": 2**64}, "reduced by at most 9223372036854775807"),
    ({"kind": "downsample", "factor": 10**200, "levels": 3}, "reduced by at most"),
    ({"kind": "downsample", "method": "median"}, "method is 'median', expected mean, nearest or max"),
    ({"kind": "downsample", "transform": "t"}, "a downsample job takes no transform"),
    ({"chunks": 0}, "chunks is 0"),
    ({"chunks": -1}, "chunks is -1"),
    ({"chunks": True}, "chunks is True"),
    ({"chunks": 2.5}, "chunks is 2.5"),
    ({"chunks": "8"}, "chunks is '8'"),
    ({"chunks": (8, 8)}, "chunks"),
    ({"chunks": ()}, "chunks"),
    ({"shards": 0}, "shards is 0"),
    ({"shards": 12, "chunks": 8}, "multiples"),
    ({"shards": 16, "chunks": 8, "zarr_format": 2}, "shards is 16, but Zarr v2 has none"),
    ({"dtype": "nope"}, "dtype is 'nope', expected a numpy dtype"),
    ({"dtype": "O"}, "dtype"),
    ({"compressors": "middle-out"}, "middle-out"),
    ({"zarr_format": "3"}, "zarr_format is '3'"),
    ({"zarr_format": 4}, "zarr_format is 4, expected 2 or 3"),
    ({"zarr_format": True}, "zarr_format is True"),
    ({"attributes": [1]}, "attributes is"),
    ({"attributes": {1: 2}}, "attributes is"),
    ({"attributes": {"a": object()}}, "old.zarr.*JSON"),
    ({"overwrite": "no"}, "overwrite is 'no', expected True or False"),
    ({"source": "old.zarr", "target": "nowhere://x"}, "unknown scheme"),
]


@pytest.mark.parametrize(("options", "says"), REFUSED, ids=stable)
def test_a_submit_that_is_refused_has_changed_nothing(place, options, says):
    with place.submit("copy", "a.zarr", "old.zarr", overwrite=True) as earlier:
        earlier.close()
    before, registered = tree_digest(place.folder / "old.zarr"), states(place)
    options = {"kind": "copy", "source": "a.zarr", "target": "old.zarr", "overwrite": True, **options}
    options = {"broker": place.broker, "prefix": place.prefix, **options}
    with pytest.raises(StreamzarrError, match=says):
        jobs.submit(options.pop("kind"), options.pop("source"), options.pop("target"), **options)
    assert tree_digest(place.folder / "old.zarr") == before
    assert states(place) == registered == {earlier.id: False}


def test_a_target_with_a_foreign_file_is_refused_before_earlier_jobs_are_ended(place):
    with place.submit("copy", "a.zarr", "old.zarr", overwrite=True) as earlier:
        earlier.close()
    (place.folder / "old.zarr" / "notes.txt").write_text("mine")
    before = tree_digest(place.folder / "old.zarr")
    with pytest.raises(NodeExistsError, match=r"notes\.txt"):
        place.submit("copy", "a.zarr", "old.zarr", overwrite=True)
    assert tree_digest(place.folder / "old.zarr") == before
    assert states(place) == {earlier.id: False}


def test_numbers_of_numpy_are_taken(place):
    place.submit("copy", "a.zarr", "c.zarr", chunks=np.array(8)).close()
    options = {"factor": np.int64(2), "levels": np.int8(2), "chunks": np.array([8]), "max_lag": np.int32(5)}
    with place.submit("downsample", "a.zarr", "p.zarr", **options) as job:
        assert job.plan.tasks == 12


def test_what_fails_before_the_broker_is_asked_makes_no_queue(place):
    with pytest.raises(ConfigError, match="chunks"):
        jobs.submit("copy", "a.zarr", "b.zarr", broker="sqlite:///new.db", chunks=(2, 2))
    with pytest.raises(NodeExistsError):
        jobs.submit("copy", "a.zarr", "old.zarr", broker="sqlite:///new.db")
    assert not (place.folder / "new.db").exists()


def test_a_broker_that_is_away_leaves_the_old_target(place):
    before = tree_digest(place.folder / "old.zarr")
    with pytest.raises(QueueError):
        jobs.submit(
            "copy", "a.zarr", "old.zarr", overwrite=True, broker="kafka://127.0.0.1:1?request_timeout=0.2"
        )
    assert tree_digest(place.folder / "old.zarr") == before


def test_a_later_level_that_cannot_be_made_leaves_the_old_target(place):
    sz.create_array("flags.zarr", data=np.zeros(64, "M8[s]"), chunks=(8,))
    before = tree_digest(place.folder / "old.zarr")
    with pytest.raises(ConfigError, match="method 'mean' needs numbers"):
        place.submit("downsample", "flags.zarr", "old.zarr", overwrite=True)
    assert tree_digest(place.folder / "old.zarr") == before


def test_too_many_tasks_or_too_large_parts_are_refused_first(place):
    sz.create_array("many.zarr", shape=(2**30,), chunks=(2**20,), dtype="u1")
    before = tree_digest(place.folder / "old.zarr")
    with pytest.raises(ConfigError, match=r"1073741824 chunks to write, 0 of .*; use larger chunks"):
        place.submit("copy", "many.zarr", "old.zarr", chunks=1, overwrite=True)
    sz.create_array("wide.zarr", shape=(2**40,), chunks=(2**20,), dtype="f8")
    with pytest.raises(LimitExceededError, match="one target chunk is made of"):
        place.submit("copy", "wide.zarr", "old.zarr", chunks=2**29, dtype="f4", overwrite=True)
    assert tree_digest(place.folder / "old.zarr") == before


def test_a_job_that_could_not_be_read_back_is_not_registered():
    layout = Layout((4,), (2,), "<i4", 3, msgspec.Raw(b"{}"))
    stage = Stage("downsample", "a.zarr", "b.zarr", layout, factor=(2**64,))
    request = Request("copy", "a.zarr", "b.zarr", "fill", TargetOptions())
    with pytest.raises(ConfigError, match=r"the job cannot be registered: .*factor"):
        registration(request, "01M7", [stage], results_from=0)


def test_parameters_are_checked_against_the_function_where_it_is_known(place, transforms):
    import job_transforms  # noqa: F401 - registers its transforms

    for params, says in [({"offse": 1.0}, "offse"), ({"block": 1}, "block")]:
        with pytest.raises(
            ConfigError, match=rf"transform 'celsius' takes \(block, \*, offset=-273.15\).*{says}"
        ):
            place.submit("map", "a.zarr", "b.zarr", transform="celsius", params=params)
    place.submit("map", "a.zarr", "b.zarr", transform="celsius", params={"offset": 1.0}).close()
    place.submit("map", "a.zarr", "c.zarr", transform="known_elsewhere", params={"x": 1}).close()


@pytest.mark.parametrize("timeout", [math.nan, -1, True, "5"])
def test_a_timeout_that_is_no_time_is_refused(place, timeout):
    with place.submit("copy", "a.zarr", "b.zarr") as job, pytest.raises(ConfigError, match="timeout is"):
        job.wait(timeout)


def test_ids_and_lags_of_resumed_jobs_are_checked(place):
    place.submit("copy", "a.zarr", "b.zarr").close()
    with pytest.raises(ConfigError, match="job is '', expected text"):
        place.resume("")
    with pytest.raises(ConfigError, match="job is '', expected text"):
        place.watch("")
    with pytest.raises(ConfigError, match="max_lag is 0"):
        place.resume("0", max_lag=0)


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
