"""Reading, writing, growing and streaming one array."""

from __future__ import annotations

import asyncio
import os
import pickle  # noqa: TID251 - what multiprocessing does
import subprocess
import sys
import threading

import numpy as np
import pytest

import streamzarr.zarr as sz
from streamzarr.errors import ConfigError, KeyNotFoundError, UnsupportedError
from streamzarr.stores import MemoryStore
from streamzarr.testing.faults import RecordingStore


@pytest.fixture
def values():
    return np.arange(7 * 5, dtype="i4").reshape(7, 5)


@pytest.fixture
def z(values):
    z = sz.create_array(MemoryStore(), shape=(7, 5), chunks=(3, 2), dtype="i4")
    z[...] = values
    return z


@pytest.mark.parametrize(
    "selection",
    [
        ...,
        (),
        0,
        -1,
        np.int64(3),
        slice(None),
        slice(2, 2),
        slice(5, 1),
        slice(-4, 100, 2),
        (slice(None), 4),
        (..., 4),
        (2, ...),
        (slice(1, 6, 5), slice(None, None, 3)),
        (6, 4),
        (..., 6, 4),
        (slice(0, 7, 100), slice(0, 5, 100)),
        slice(None, None, -1),
        (slice(None, None, -2), slice(None, None, -3)),
        (slice(-1, 2, -1), 3),
        (slice(5, 0, -4), slice(1, 4)),
        (2, slice(None, None, -1)),
        (slice(0, 5, -1), slice(None)),
        (slice(3, 2, -1), slice(100, -100, -100)),
    ],
    ids=str,
)
def test_reads_what_numpy_reads(z, values, selection):
    read = z[selection]
    assert isinstance(read, np.ndarray)
    assert read.shape == values[selection].shape
    assert np.array_equal(read, values[selection])
    out = np.full_like(read, -1)
    assert z.get_basic_selection(selection, out=out) is out
    assert np.array_equal(out, values[selection])


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (7, "out of bounds"),
        (-8, "out of bounds"),
        ((0, 5), "out of bounds"),
        ((0, 0, 0), "too many indices"),
        ((..., 0, ...), "single ellipsis"),
        (None, "unsupported selection"),
        ((None, 0), "unsupported selection"),
        (1.5, "unsupported selection"),
        ("a", "unsupported selection"),
        (True, "unsupported selection"),
    ],
)
def test_refuses_what_zarr_python_refuses(z, selection, message):
    with pytest.raises(IndexError, match=message):
        z[selection]
    with pytest.raises(IndexError, match=message):
        z[selection] = 0


def test_a_step_of_zero_is_a_value_error(z):
    with pytest.raises(ValueError, match="zero"):
        z[::0]


def test_out_must_fit(z):
    for out in (np.empty((7, 4), "i4"), np.empty((7, 5), "i8")):
        with pytest.raises(ValueError, match="out has shape"):
            z.read(out=out)


def test_out_may_be_strided(z, values):
    out = np.zeros((14, 10), "i4")[::2, ::2]
    z.read(out=out)
    assert np.array_equal(out, values)


@pytest.mark.parametrize(
    ("selection", "value"),
    [
        (..., 5),
        (slice(1, 3), np.arange(5)),
        ((slice(None), 2), np.arange(7)),
        ((slice(None), slice(1, 3)), np.arange(7)[:, None]),
        ((3, 4), 9),
        ((slice(None, None, 3), slice(None, None, 2)), [[1, 2, 3]] * 3),
        (slice(2, 2), 1),
        (-1, [5, 4, 3, 2, 1]),
    ],
    ids=str,
)
def test_writes_what_numpy_writes(z, values, selection, value):
    z[selection] = value
    values[selection] = value
    assert np.array_equal(z[...], values)


def test_values_must_fit_in_shape_and_kind(z):
    with pytest.raises(ValueError, match="broadcast"):
        z[:2] = np.zeros(4, "i4")
    for value in (np.float64(1.5), [1.5], 1.5, 1j, np.array([True]).astype("M8[s]")):
        with pytest.raises(TypeError):
            z[0] = value
    with pytest.raises(OverflowError):
        z[0] = 2**40
    z[0] = np.uint8(200)
    z[1] = np.int64(-5)
    z[2] = True
    assert z[:3, 0].tolist() == [200, -5, 1]


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        *[("u1", each) for each in (300, -1, [1, 300], np.array([1, 300]), np.int64(300), 2**70, None)],
        *[("i8", each) for each in (2**63, [2**63], np.array([2**63], "u8"))],
        *[("f2", each) for each in (70_000, 1e300, [1e300])],
        *[("M8[ns]", each) for each in ("3000-01-01", np.array(["3000-01-01"], "M8[D]"))],
        *[("U3", each) for each in ("abcdef", ["abcdef"], np.array(["abcdef"]))],
        ("S3", b"abcdef"),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_values_out_of_range_raise_where_numpy_raises_and_become_what_numpy_makes_of_them(dtype, value):
    def assigned(array):
        try:
            array[...] = value
        except Exception as error:
            return type(error), str(error)
        return array[...].tolist()

    found = sz.create_array("memory://", shape=2, dtype=dtype)
    assert assigned(found) == assigned(np.zeros(2, dtype))


def test_other_kinds_take_what_numpy_takes():
    f = sz.create_array("memory://", shape=(2,), dtype="f4")
    f[:] = [1, 2.5]
    f[0] = np.float64(0.1)
    assert f[...].tolist() == [np.float32(0.1), 2.5]
    t = sz.create_array("memory://", shape=(2,), dtype="M8[D]")
    t[:] = ["2020-01-01", "NaT"]
    assert str(t[0]) == "2020-01-01"
    b = sz.create_array("memory://", shape=(2,), dtype="?")
    b[:] = [True, False]
    with pytest.raises(TypeError):
        b[:] = 2


def test_a_missing_chunk_can_be_an_error():
    z = sz.create_array("memory://", shape=(4,), chunks=(2,), dtype="i4", path="a")
    z[:2] = 1
    assert z.read(missing="fill").tolist() == [1, 1, 0, 0]
    assert z.read(slice(0, 2), missing="error").tolist() == [1, 1]
    for read in (lambda: z.read(missing="error"), lambda: z.read_chunk((1,), missing="error")):
        with pytest.raises(KeyNotFoundError, match=r"/a: chunk \(1,\) is missing \(key 'a/c/1'\)"):
            read()


def test_units_one_at_a_time(z, values):
    assert z.grid.shape == (3, 3)
    for index in z.grid.indices():
        block = z.read_chunk(index)
        assert np.array_equal(block, values[z.grid.slices(index)])
        z.write_chunk(index, block + 1)
    assert np.array_equal(z[...], values + 1)
    with pytest.raises(IndexError):
        z.read_chunk((3, 0))
    with pytest.raises(IndexError):
        z.chunk_key((0,))
    with pytest.raises(ValueError, match="expected"):
        z.write_chunk((2, 2), np.zeros((3, 2), "i4"))
    z.delete_chunk((0, 0))
    assert not z.has_chunk((0, 0))
    assert z.nchunks_initialized == 8


def test_writing_a_unit_reads_nothing_and_is_repeatable():
    store = RecordingStore(MemoryStore())
    z = sz.create_array(store, shape=(5,), chunks=(2,), dtype="i4", compressors="gzip")
    z.write_chunk((2,), [5])
    first = store.get("c/2")
    store.clear()
    z.write_chunk((2,), [5])
    assert [call.operation for call in store.calls] == ["put"]
    assert store.get("c/2") == first


def test_append_and_resize(z, values):
    assert z.append(np.full((2, 5), 7)) == (9, 5)
    assert z.append(np.full((9, 1), 8), axis=-1) == (9, 6)
    expected = np.full((9, 6), 8)
    expected[:7, :5], expected[7:, :5] = values, 7
    assert np.array_equal(z[...], expected)
    z.resize((2, 6))
    assert np.array_equal(sz.open_array(z.store)[...], expected[:2])
    assert sorted(z.store.list("c")) == ["c/0/0", "c/0/1", "c/0/2"]
    for bad in ((2,), (2, -1), (2, 6, 1)):
        with pytest.raises(ValueError, match="resize"):
            z.resize(bad)
    for bad in (np.zeros((1, 5)), np.zeros(6)):
        with pytest.raises(ValueError, match="append"):
            z.append(bad.astype("i4"))
    with pytest.raises(ValueError, match="axis"):
        z.append(np.zeros((1, 6), "i4"), axis=2)


def test_an_append_shows_its_rows_only_when_they_are_all_there():
    store = RecordingStore(MemoryStore())
    z = sz.create_array(store, shape=(3,), chunks=(2,), dtype="i4")
    store.clear()
    z.append(np.ones(5, "i4"))
    written = [call.key for call in store.calls if call.operation == "put"]
    assert written[-1] == "zarr.json"
    assert sorted(written[:-1]) == ["c/1", "c/2", "c/3"]


def test_an_append_that_raced_is_an_error(z):
    other = sz.open_array(z.store, mode="r+")
    other.append(np.zeros((1, 5), "i4"))
    with pytest.raises(UnsupportedError, match="another writer"):
        z.append(np.zeros((1, 5), "i4"))
    assert z.refresh().shape == (8, 5)


def test_what_an_array_says_of_itself(z):
    assert (z.ndim, z.size, z.itemsize, z.nbytes, len(z)) == (2, 35, 4, 140, 7)
    assert (z.chunks, z.shards, z.cdata_shape, z.nchunks) == ((3, 2), None, (3, 3), 9)
    assert (z.path, z.name, z.basename, z.order, z.zarr_format) == ("", "/", "", "C", 3)
    assert (z.fill_value, z.filters, z.dimension_names, z.read_only) == (0, (), None, False)
    assert [codec.name for codec in z.compressors] == ["zstd"]
    assert repr(z) == f"<Array {z.url} shape=(7, 5) dtype=int32>"
    assert "Chunk shape        : (3, 2)" in str(z.info)
    assert "No. bytes          : 140" in str(z.info)
    named = sz.create_array("memory://", path="a/b", shape=(1,), dtype="i4", dimension_names=["x"])
    assert (named.path, named.name, named.basename, named.dimension_names) == ("a/b", "/a/b", "b", ("x",))
    with pytest.raises(TypeError):
        len(sz.create_array("memory://", shape=(), dtype="i4"))


def test_numpy_protocols(z, values):
    assert np.array_equal(np.asarray(z), values)
    assert np.asarray(z, dtype="f8").dtype == np.dtype("f8")
    assert np.array_equal(list(z), values)
    with pytest.raises(ValueError, match="copy"):
        np.asarray(z, copy=False)


def test_read_only(z):
    reader = sz.open_array(z.store)
    assert reader.read_only
    for write in (
        lambda: reader.__setitem__(0, 1),
        lambda: reader.resize((1, 1)),
        lambda: reader.append(np.zeros((1, 5), "i4")),
        lambda: reader.write_chunk((0, 0), np.zeros((3, 2), "i4")),
        lambda: reader.delete_chunk((0, 0)),
        lambda: reader.attrs.update(a=1),
    ):
        with pytest.raises(UnsupportedError, match="read-only"):
            write()


def test_attributes(z):
    z.attrs["a"] = 1
    z.attrs.update({"b": [1, 2]}, c=np.float32(0.5))
    assert z.update_attributes({"d": np.arange(2)}).attrs["d"] == [0, 1]
    assert sz.open_array(z.store).attrs.asdict() == {"a": 1, "b": [1, 2], "c": 0.5, "d": [0, 1]}
    del z.attrs["a"]
    assert "a" not in z.attrs
    with pytest.raises(KeyError):
        del z.attrs["a"]
    with pytest.raises(KeyError):
        z.attrs["a"]
    z.attrs.put({"only": None})
    assert dict(sz.open_array(z.store).attrs) == {"only": None}
    with pytest.raises(TypeError):
        z.attrs[1] = 2
    assert repr(z.attrs) == "Attributes({'only': None})"


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("concurrency", [1, 3])
def test_streams_every_chunk_once(z, values, concurrency, ordered):
    reports = []
    stream = z.stream_chunks(
        concurrency=concurrency, ordered=ordered, progress=lambda done, total: reports.append((done, total))
    )
    assert len(stream) == 9
    blocks = list(stream)
    for block in blocks:
        assert np.array_equal(block.data, values[block.slices])
    indices = [block.index for block in blocks]
    assert sorted(indices) == list(z.grid.indices())
    assert not ordered or indices == sorted(indices)
    assert reports == [(n, 9) for n in range(10)]
    assert len(list(stream)) == 9


def test_streams_a_region_a_filter_and_what_is_missing(z, values):
    blocks = list(z.stream_chunks((slice(2, 5), slice(3, None))))
    assert [block.slices for block in blocks] == [
        (slice(2, 3), slice(3, 4)),
        (slice(2, 3), slice(4, 5)),
        (slice(3, 5), slice(3, 4)),
        (slice(3, 5), slice(4, 5)),
    ]
    assert all(np.array_equal(block.data, values[block.slices]) for block in blocks)
    some = z.stream_chunks(where=lambda index: index[0] == 1)
    assert [block.index for block in some] == [(1, 0), (1, 1), (1, 2)]
    assert len(some) == 3
    z.delete_chunk((1, 1))
    assert len(list(z.stream_chunks(missing="skip"))) == 8
    assert len(list(z.stream_chunks())) == 9
    with pytest.raises(KeyNotFoundError):
        list(z.stream_chunks(missing="error", concurrency=2))
    for region in (0, slice(None, None, 2)):
        with pytest.raises(IndexError, match="region"):
            z.stream_chunks(region)
    with pytest.raises(ConfigError):
        z.stream_chunks(concurrency=0)


def test_streams_for_async_loops(z):
    async def collect():
        return [block.index async for block in z.stream_chunks(concurrency=2)]

    async def leave_early():
        async for block in z.stream_chunks(concurrency=2):
            return block.index
        return None

    assert asyncio.run(collect()) == list(z.grid.indices())
    assert asyncio.run(leave_early()) == (0, 0)


def test_a_stream_reads_ahead_by_no_more_than_its_concurrency():
    class Counting(MemoryStore):
        reads = 0

        def get(self, key, byte_range=None):
            self.reads += key.startswith("c/")
            return super().get(key, byte_range)

    store = Counting()
    z = sz.create_array(store, shape=(100,), chunks=(1,), dtype="i4")
    z[...] = 1
    store.reads = 0
    blocks = iter(z.stream_chunks(concurrency=4))
    for taken in range(1, 20):
        next(blocks)
        assert store.reads <= taken + 4
    blocks.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("streamzarr-stream")]


def test_progress_draws_a_line(z, capsys):
    list(z.stream_chunks(progress=True))
    assert "9/9 chunks" in capsys.readouterr().err


def test_large_chunks_use_threads_and_give_the_same(tmp_path):
    values = np.random.default_rng(0).integers(0, 100, (600, 700)).astype("f8")
    for compressors in (None, "zstd", "blosc"):
        z = sz.create_array(
            str(tmp_path / str(compressors)),
            shape=values.shape,
            chunks=(200, 300),
            dtype="f8",
            compressors=compressors,
        )
        z[...] = values
        assert np.array_equal(z[...], values)
        assert np.array_equal(z[100:500:3, 50:650], values[100:500:3, 50:650])


def test_an_error_in_a_thread_is_raised(tmp_path):
    z = sz.create_array(str(tmp_path), shape=(8, 100_000), chunks=(1, 100_000), dtype="f8", compressors=None)
    z[...] = 1
    (tmp_path / "c/5/0").write_bytes(b"short")
    with pytest.raises(Exception, match=r"chunk \(5, 0\)"):
        z[...]


def test_threads_writing_parts_of_one_chunk_lose_nothing():
    z = sz.create_array(MemoryStore(), shape=(64,), chunks=(64,), dtype="i4")
    barrier = threading.Barrier(8)

    def write(part):
        barrier.wait()
        for n in range(part, 64, 8):
            z[n] = n + 1

    threads = [threading.Thread(target=write, args=(part,)) for part in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert z[...].tolist() == list(range(1, 65))


def test_pickles_by_its_store(tmp_path, values):
    z = sz.create_array(str(tmp_path), path="a", shape=(7, 5), chunks=(3, 2), dtype="i4")
    z[...] = values
    for node in (z, sz.open_array(str(tmp_path), path="a")):
        copy = pickle.loads(pickle.dumps(node))
        assert np.array_equal(copy[...], values)
        assert (copy.url, copy.read_only) == (node.url, node.read_only)
    group = pickle.loads(pickle.dumps(sz.open_group(str(tmp_path))))
    assert list(group) == ["a"]


def test_survives_a_fork_after_use(tmp_path):
    values = np.ones((8, 100_000))
    z = sz.create_array(str(tmp_path), data=values, chunks=(1, 100_000))
    assert np.array_equal(z[...], values)
    child = os.fork()
    if not child:
        ok = np.array_equal(z[...], values)
        z[0, :10] = 2
        os._exit(0 if ok else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert z[0, :11].tolist() == [2] * 10 + [1]


def test_small_reads_start_no_thread():
    code = """
import os, threading, numpy as np, streamzarr.zarr as sz
for compressors in (None, "zstd", "blosc", "gzip"):
    z = sz.create_array("memory://", data=np.arange(10000), chunks=1000, compressors=compressors)
    assert z[...].sum() == z[5:].sum() + 10
assert threading.active_count() == 1
print(len(os.listdir("/proc/self/task")))
"""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ | ONE_THREAD
    )
    assert run.stdout.strip() == "1"


ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
