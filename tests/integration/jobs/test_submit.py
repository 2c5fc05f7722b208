"""A submit that is refused has changed nothing."""

import math
import os

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
from streamzarr.jobs.check import Request
from streamzarr.jobs.stages import registration
from streamzarr.jobs.target import TargetOptions
from streamzarr.jobs.wire import Layout, Stage
from tests.support.bench import tree_digest
from tests.support.ids import stable
from tests.support.submits import DATA, prepared, states


@pytest.fixture
def place(embedded, monkeypatch):
    """A folder to work in, and the embedded broker."""
    return prepared(embedded, monkeypatch)


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


@pytest.mark.parametrize("kind", ["copy", "downsample"])
@pytest.mark.parametrize("target", ["log", "log/x", "log/beside", "log/x/inside"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_target_that_is_a_stream_or_lies_in_one_is_refused(place, kind, target, overwrite):
    with sz.StreamWriter("log", schema={"x": "f4"}) as writer:
        writer.append({"x": DATA})
    before = tree_digest(place.folder / "log")
    with pytest.raises(
        (UnsupportedError, ContainsArrayError), match=r"log.* (is a stream|lies in the array)"
    ):
        place.submit(kind, "a.zarr", target, overwrite=overwrite)
    assert tree_digest(place.folder / "log") == before


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
