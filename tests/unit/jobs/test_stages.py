"""The stages of a job, where its passes need intermediate arrays, and where they do not."""

from dataclasses import dataclass

import numpy as np
import pytest

import streamzarr as sz
from streamzarr.errors import ConfigError
from streamzarr.jobs import stages as module
from streamzarr.jobs.check import check_request
from streamzarr.jobs.execute import layout_of
from streamzarr.jobs.pin import open_pinned
from streamzarr.jobs.planner import FILES
from streamzarr.jobs.register import new_job_id
from streamzarr.jobs.scratch import create_scratch
from streamzarr.stores import MemoryStore, open_store

OPTIONS = dict.fromkeys(("chunks", "shards", "dtype", "zarr_format", "attributes"))
OPTIONS |= {"casting": "same_kind", "compressors": "keep", "overwrite": False}
OWN = dict.fromkeys(("transform", "params", "factor", "levels", "method", "nodata"))


@dataclass(frozen=True)
class Pass:
    chunks: tuple
    block: tuple


@pytest.fixture
def passes(monkeypatch):
    """What is planned, at full size; the levels of a pyramid go by blocks of two."""
    planned = [Pass((8, 4), (1, 2)), Pass((2, 8), (4, 1))]

    def plan(source, target, *, factor=(), **_):
        return (Pass(target.chunks, (2, 2)),) if factor else tuple(planned)

    monkeypatch.setattr(module, "plan_passes", plan)
    return planned


def stages(folder, kind="copy", *, source=None, missing="fill", scratch=None, **options):
    own = OWN | {name: options.pop(name) for name in list(options) if name in OWN}
    place = source or str(folder / "a.zarr")
    if source is None:
        sz.create_array(place, data=np.arange(64, dtype="f4").reshape(8, 8), chunks=(1, 8), fill_value=-1)
    request = check_request(
        kind,
        place,
        str(folder / "b.zarr"),
        missing=missing,
        max_task_bytes=1000,
        scratch=scratch,
        options=OPTIONS | {"chunks": (2, 8)} | options,
        **own,
    )
    job = new_job_id()
    array, etag = open_pinned(place)
    store = open_store(request.target)
    return job, module.make_stages(request, array, etag, store, job=job, requests=FILES)


def test_a_copy_goes_through_an_intermediate_array_that_submitting_does_not_make(tmp_path, passes):
    job, (first, last) = stages(tmp_path, missing="error", dtype="f8")
    between = f"file://{tmp_path}/b.zarr.scratch/{job}/0"
    assert (first.source, first.target) == (f"file://{tmp_path}/a.zarr", between)
    assert (last.source, last.target) == (between, f"file://{tmp_path}/b.zarr")
    assert (first.scratch, first.write_empty, first.missing, first.block) == (True, True, "error", (1, 2))
    assert (last.scratch, last.write_empty, last.missing, last.block) == (False, False, "error", (4, 1))
    assert (len(first.source_etag) > 0, last.source_etag) == (True, "")
    assert (first.layout.chunks, first.layout.dtype, first.layout.zarr_format) == ((8, 4), "<f4", 3)
    assert last.layout.dtype == "<f8"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zarr", "b.zarr"]


def test_what_the_request_takes_a_missing_chunk_for_concerns_the_source_alone(tmp_path, passes):
    _, (first, last) = stages(tmp_path, missing="fill")
    assert (first.missing, last.missing) == ("fill", "error")


def test_the_layout_in_the_stage_is_that_of_the_array_that_is_made(tmp_path, passes):
    _, (first, _) = stages(tmp_path)
    made = create_scratch(MemoryStore(), sz.open_array(first.source), first.layout.chunks)
    assert layout_of(made) == first.layout
    assert made.fill_value == -1
    assert made.attrs.asdict() == {}
    assert [codec["name"] for codec in made.metadata.to_json()["codecs"]] == ["bytes", "blosc"]
    blosc = made.metadata.to_json()["codecs"][1]["configuration"]
    assert (blosc["cname"], blosc["shuffle"]) == ("lz4", "shuffle")


def test_one_pass_needs_no_scratch_space(tmp_path, passes):
    del passes[0]
    _, (only,) = stages(tmp_path)
    assert (only.block, only.scratch, only.missing) == ((4, 1), False, "fill")


def test_blocks_of_one_chunk_are_not_named(tmp_path, passes):
    passes[:] = [Pass((2, 8), (1, 1))]
    assert stages(tmp_path)[1][0].block == ()


def test_three_passes_are_a_chain(tmp_path, passes):
    passes.insert(0, Pass((4, 2), (2, 4)))
    _, found = stages(tmp_path)
    assert [stage.target.rpartition("/")[2] for stage in found] == ["0", "1", "b.zarr"]
    assert [stage.source for stage in found[1:]] == [stage.target for stage in found[:2]]
    assert [stage.scratch for stage in found] == [True, True, False]


def test_a_transform_runs_in_the_last_pass_only(tmp_path, passes):
    _, (first, last) = stages(tmp_path, "map", transform="double", params={"by": 2})
    assert (first.operation, first.transform, first.params) == ("copy", None, {})
    assert (last.operation, last.transform, last.params) == ("map", "double", {"by": 2})


def test_only_the_full_size_of_a_pyramid_goes_through_an_intermediate_array(tmp_path, passes):
    job, found = stages(tmp_path, "downsample", factor=2, levels=3)
    assert [stage.operation for stage in found] == ["copy", "copy", "downsample", "downsample"]
    assert [stage.scratch for stage in found] == [True, False, False, False]
    assert found[0].target == f"file://{tmp_path}/b.zarr.scratch/{job}/0", "beside the group"
    assert [stage.block for stage in found] == [(1, 2), (4, 1), (2, 2), (2, 2)]
    assert found[2].source == found[1].target
    assert found[2].source_etag


def test_scratch_space_that_is_given_is_used(tmp_path, passes):
    job, (first, _) = stages(tmp_path, scratch=str(tmp_path / "tmp"))
    assert first.target == f"file://{tmp_path}/tmp/{job}/0"
    assert not (tmp_path / "tmp").exists()


NESTED = [("x", "i2"), ("y", ">f4", 3)]
SIZED = ["?", "i1", ">i4", "f2", "c16", "M8[s]", "m8[D]", "S3", "U5", "V7", [("x", "i2"), ("s", "S3")]]


@pytest.mark.parametrize(
    ("zarr_format", "dtype"), [(3, dtype) for dtype in SIZED] + [(2, dtype) for dtype in [*SIZED, NESTED]]
)
def test_an_intermediate_array_holds_whatever_has_a_size(zarr_format, dtype):
    data = np.zeros((4, 4), dtype=dtype)
    data[1:] = np.frombuffer(bytes([1, 0, 0, 0] * data.nbytes), data.dtype, 12).reshape(3, 4)
    source = sz.create_array("memory://", data=data, chunks=(2, 2), zarr_format=zarr_format)
    made = create_scratch(MemoryStore(), source, (4, 1))
    made[...] = source[...]
    np.testing.assert_array_equal(made[...], source[...])
    assert (made.dtype, made.zarr_format) == (source.dtype, zarr_format)
    assert repr(made.metadata.fill_value) == repr(source.metadata.fill_value)  # NaT is not NaT


def test_more_stages_than_a_job_may_have_are_refused(tmp_path, passes):
    _, found = stages(tmp_path)
    request = check_request(
        "copy", "a", "b", missing="fill", max_task_bytes=1, scratch=None, options=OPTIONS, **OWN
    )
    with pytest.raises(ConfigError, match="66 stages, levels and intermediate arrays together, expected at"):
        module.registration(request, new_job_id(), found * 33, results_from=0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_task_bytes": 0}, "max_task_bytes is 0, expected an integer, 1 or more"),
        ({"max_task_bytes": True}, "max_task_bytes is True, expected an integer, 1 or more"),
        ({"max_task_bytes": "128 megs"}, "max_task_bytes: '128 megs' is not a number of bytes"),
        ({"max_task_bytes": 1.5}, r"max_task_bytes is 1\.5, expected an integer"),
        ({"scratch": ""}, "scratch is '', expected text"),
        ({"scratch": 5}, "scratch is 5, expected text"),
        ({"scratch": "memory://x"}, "scratch is memory://x, which only this process can see"),
    ],
)
def test_what_cannot_be_meant_is_refused(given, message):
    rest = {"missing": "fill", "max_task_bytes": 1, "scratch": None, "options": OPTIONS} | given
    with pytest.raises(ConfigError, match=message):
        check_request("copy", "a", "b", **rest, **OWN)
