"""Chunks of different lengths: metadata, indexing, resizing, and the bytes of zarr-python 3.4."""

from __future__ import annotations

import json
import pickle  # noqa: TID251 - arrays go to worker processes

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import streamzarr.zarr as sz
from streamzarr.errors import ConfigError, LimitExceededError, MetadataError, UnsupportedError
from streamzarr.limits import Limits
from streamzarr.stores import MemoryStore
from streamzarr.zarr.grids.grid import regular_grid
from streamzarr.zarr.grids.rectilinear import RectilinearChunks, RunAxis

LAYOUTS = {
    "lists": {"chunks": [[3, 4, 3], [5, 7]]},
    "runs and one integer": {"chunks": [[3, [1, 4], 3], 5]},
    "one chunk": {"chunks": [[10], -1]},
    "shards": {"chunks": (2, 3), "shards": [[4, 2, [2, 2]], [6, 6]]},
    "index first": {"chunks": (2, 3), "shards": {"shape": [[4, 6], 6], "index_location": "start"}},
    "uncompressed": {"chunks": [[1, 9], [12]], "compressors": None},
}
DATA = np.arange(120, dtype="i4").reshape(10, 12)


@pytest.fixture(params=LAYOUTS.values(), ids=LAYOUTS)
def array(request):
    made = sz.create_array(MemoryStore(), data=DATA, fill_value=-1, **request.param)
    return sz.open_array(made.store, mode="r+")


def test_every_kind_of_indexing_reads_and_writes_as_numpy_does(array):
    rows, columns = [9, 0, 4], [1, 11, 7]
    assert np.array_equal(array[:], DATA)
    assert np.array_equal(array[2:9:3, ::2], DATA[2:9:3, ::2])
    assert np.array_equal(array[-1, 3:], DATA[-1, 3:])
    assert np.array_equal(array.oindex[rows, DATA[0] % 5 == 0], DATA[rows][:, DATA[0] % 5 == 0])
    assert np.array_equal(array.vindex[rows, columns], DATA[rows, columns])
    assert np.array_equal(array[DATA % 7 == 0], DATA[DATA % 7 == 0])
    expected = DATA.copy()
    for index in (np.s_[1:8, 3:9], np.s_[5], np.s_[::4, 1::3]):
        expected[index] -= 1000
        array[index] = expected[index]
    array.vindex[rows, columns] = expected[rows, columns] = [7, 8, 9]
    array.oindex[rows, columns] = 5
    expected[np.ix_(rows, columns)] = 5
    assert np.array_equal(array[:], expected)


def test_blocks_and_streams_are_the_chunks(array):
    seen = np.zeros(DATA.shape, bool)
    blocks = [*array.stream_chunks(concurrency=2)]
    for block in blocks:
        assert np.array_equal(block.data, DATA[block.slices])
        assert np.array_equal(array.blocks[block.index], block.data)
        assert np.array_equal(array.read_chunk(block.index), block.data)
        assert not seen[block.slices].any()
        seen[block.slices] = True
    assert seen.all()
    assert array.grid.size == len(blocks)
    assert np.array_equal(np.concatenate([*array]), DATA.ravel())


def test_an_array_can_be_sent_to_another_process(tmp_path):
    array = sz.create_array(str(tmp_path), data=DATA, chunks=[[3, 4, 3], 5])
    assert np.array_equal(pickle.loads(pickle.dumps(array))[:], DATA)


def test_appending_fills_the_last_chunk_and_then_makes_one(array):
    grown, edges = DATA, array.metadata.chunk_grid.edges[0]
    for count in (3, 1, 4):
        new = np.full((count, 12), count, "i4")
        array.append(new)
        grown = np.concatenate([grown, new])
        assert np.array_equal(array[:], grown)
    assert np.array_equal(sz.open_array(array.store)[:], grown)
    if not isinstance(edges, int):
        assert array.metadata.chunk_grid.covered(0) >= 18
    array.append(np.zeros((18, 2), "i4"), axis=1)
    assert np.array_equal(array[:, :12], grown)
    assert not array[:, 12:].any()


def test_an_axis_that_shrinks_keeps_its_chunks_and_one_that_grows_gets_one_more():
    z = sz.create_array("memory://", data=np.arange(10), chunks=[[3, 4, 3]], fill_value=-1)
    z.resize(4)
    assert z.write_chunk_sizes == ((3, 1),)
    assert z.metadata.chunk_grid == RectilinearChunks.of([[3, 4, 3]])
    z.resize(9)
    assert z[:].tolist() == [0, 1, 2, 3, 4, 5, 6, -1, -1]
    z.resize(15)
    assert z.metadata.chunk_grid == RectilinearChunks.of([[3, 4, 3, 5]])
    assert z.write_chunk_sizes == ((3, 4, 3, 5),)
    z.resize(4)
    z.resize(9, clear=True)
    assert z[:].tolist() == [0, 1, 2, 3, 4, 5, 6, -1, -1]
    z.resize(4, clear=True)
    z.resize(9)
    assert z[:].tolist() == [0, 1, 2, 3, -1, -1, -1, -1, -1]


def test_shards_that_an_array_grows_by_hold_whole_chunks():
    z = sz.create_array("memory://", data=np.arange(10), chunks=(2,), shards=[[4, 6]])
    z.append(np.arange(3))
    assert z.metadata.chunk_grid == RectilinearChunks.of([[4, 6, 4]])
    assert z[8:].tolist() == [8, 9, 0, 1, 2]
    assert (z.nchunks, z.nchunks_initialized) == (7, 7)


def test_what_an_array_says_of_its_chunks():
    z = sz.create_array("memory://", shape=(10, 12), dtype="i4", chunks=[[3, 4, 3], 5])
    assert z.nchunks == 9
    assert z.cdata_shape == (3, 3)
    assert z.read_chunk_sizes == z.write_chunk_sizes == ((3, 4, 3), (5, 5, 2))
    assert z.shards is None
    assert "Chunk shape        : ([3, 4, 3], 5)" in str(z.info)
    with pytest.raises(UnsupportedError, match=r"chunks of a rectilinear grid.*\(\[3, 4, 3\], 5\)"):
        str(z.chunks)
    sharded = sz.create_array("memory://", shape=(10,), dtype="i4", chunks=(2,), shards=[[4, 6]])
    assert sharded.chunks == (2,)
    assert sharded.read_chunk_sizes == ((2, 2, 2, 2, 2),)
    assert sharded.write_chunk_sizes == ((4, 6),)
    with pytest.raises(UnsupportedError, match="shards of a rectilinear grid"):
        str(sharded.shards)
    regular = sz.create_array("memory://", shape=(10, 3), dtype="i4", chunks=(4, 3))
    assert regular.read_chunk_sizes == ((4, 4, 2), (3,))


def test_lists_of_equal_lengths_stay_rectilinear():
    z = sz.create_array("memory://", shape=(6, 6), dtype="i4", chunks=[np.array([2, 2, 2]), (6,)])
    assert z.metadata.to_json()["chunk_grid"] == {
        "name": "rectilinear",
        "configuration": {"kind": "inline", "chunk_shapes": [[[2, 3]], [6]]},
    }


def test_an_empty_axis_keeps_the_chunks_that_it_grows_into():
    z = sz.create_array("memory://", shape=(0, 2), dtype="i4", chunks=[[3, 4], 2])
    assert z.nchunks == 0
    assert z[:].shape == (0, 2)
    z.append(np.ones((5, 2), "i4"))
    assert z.write_chunk_sizes == ((3, 2), (2,))
    assert z[:].tolist() == [[1, 1]] * 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chunks": [[3, 4]]}, "add up to 7, expected 10"),
        ({"chunks": [[3, 4, 4]]}, "add up to 11, expected 10"),
        ({"chunks": [[0, 10]]}, "positive"),
        ({"chunks": [[]]}, "at least one"),
        ({"chunks": [[True, 9]]}, "positive"),
        ({"chunks": [["3", 7]]}, "positive"),
        ({"chunks": [[[3, 2, 1], 4]]}, "pair"),
        ({"chunks": [[5, 5], 2]}, "expected 1 lengths"),
        ({"chunks": [[5, 5]], "shards": (10,)}, "make the shards rectilinear"),
        ({"chunks": (2,), "shards": [[6, 3, 1]]}, "cannot be divided into chunks of 2"),
        ({"chunks": (2,), "shards": [[4, 4]]}, "cover 8 of 10"),
        ({"chunks": (2,), "shards": {"shape": 4, "index": "start"}}, "index_location"),
        ({"chunks": [[5, 5]], "zarr_format": 2}, "Zarr v2 has no rectilinear"),
    ],
    ids=str,
)
def test_chunks_that_make_no_sense(options, message):
    with pytest.raises((ConfigError, MetadataError), match=message):
        sz.create_array("memory://", shape=(10,), dtype="i4", **options)


def document(chunk_shapes, shape=(10,), **configuration):
    grid = {"kind": "inline", "chunk_shapes": chunk_shapes} | configuration
    return {
        "shape": list(shape),
        "data_type": "uint8",
        "chunk_grid": {"name": "rectilinear", "configuration": grid},
        "chunk_key_encoding": "default",
        "fill_value": 0,
        "codecs": ["bytes"],
        "zarr_format": 3,
        "node_type": "array",
    }


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (document([[3, 4]]), "axis 0: chunks cover 7 of 10"),
        (document([[[5, 0]]]), "positive"),
        (document([[5, -5]]), "positive"),
        (document([[5.0, 5]]), "positive"),
        (document([0]), "positive"),
        (document([[]]), "at least one"),
        (document([[[5, 1, 1], 5]]), "pair"),
        (document([[10], [10]]), "differ in rank"),
        (document("10"), "list of chunk_shapes"),
        (document([10], kind="external"), "kind 'inline'"),
        (document([10], more=1), "kind 'inline' and chunk_shapes"),
    ],
    ids=str,
)
def test_documents_that_are_not_valid(wrong, message):
    store = MemoryStore()
    store.put("zarr.json", json.dumps(wrong).encode())
    with pytest.raises(MetadataError, match=message):
        sz.open_array(store)


def test_a_few_bytes_may_name_very_many_chunks():
    store = MemoryStore()
    store.put("zarr.json", json.dumps(document([[[1, 10**18], [3, 2**62]]], shape=(10**18 + 5,))).encode())
    z = sz.open_array(store, mode="r+")
    assert z.nchunks == 10**18 + 2
    z[10**17] = 3
    z[-1] = 4
    assert store.exists(f"c/{10**17}")
    assert store.exists(f"c/{10**18 + 1}")
    assert z[10**18 - 1 :].tolist() == [0, 0, 0, 0, 0, 4]
    assert z.vindex[[10**17, 10**18 + 4]].tolist() == [3, 4]


def test_no_chunk_is_larger_than_the_limit():
    with pytest.raises(LimitExceededError, match="1000 bytes"):
        sz.create_array(
            "memory://", shape=(1001,), dtype="u1", chunks=[[1, 1000]], limits=Limits(max_chunk_bytes=999)
        )


def test_corrupt_chunks_are_named():
    z = sz.create_array("memory://", data=np.arange(10, dtype="u1"), chunks=[[3, 7]], compressors=None)
    z.store.put("c/1", b"123")
    with pytest.raises(Exception, match=r"chunk \(1,\) \(key 'c/1'\): .*got 3 bytes, expected 7"):
        z[:]


BY_ZARR_PYTHON_3_4_2 = {
    # create_array(data=arange(1, 31).reshape(5, 6), chunks=[[3, 1, 1], [2, 4]]), then resize((4, 6)) and
    # append(full((2, 6), 40)).
    "chunks": (
        [[3, [1, 3]], [2, 4]],
        [{"name": "bytes"}],
        {
            "c/0/0": "010207080d0e",
            "c/0/1": "03040506090a0b0c0f101112",
            "c/1/0": "1314",
            "c/1/1": "15161718",
            "c/2/0": "2828",
            "c/2/1": "28282828",
            "c/3/0": "2828",
            "c/3/1": "28282828",
        },
    ),
    # The same with chunks=(1, 2), shards=[[3, 2], [2, 4]].
    "shards": (
        [[3, 2, 1], [2, 4]],
        [
            {
                "name": "sharding_indexed",
                "configuration": {
                    "chunk_shape": [1, 2],
                    "codecs": [{"name": "bytes"}],
                    "index_codecs": [
                        {"name": "bytes", "configuration": {"endian": "little"}},
                        {"name": "crc32c"},
                    ],
                    "index_location": "end",
                },
            }
        ],
        {
            "c/0/0": "010207080d0e0000000000000000020000000000000002000000000000000200000000000000040000"
            "00000000000200000000000000c062a2c8",
            "c/0/1": "0304090a05060b0c0f1011120000000000000000020000000000000004000000000000000200000000"
            "00000002000000000000000200000000000000060000000000000002000000000000000800000000000000020000"
            "00000000000a0000000000000002000000000000000bfca948",
            "c/1/0": "13142828000000000000000002000000000000000200000000000000020000000000000004526e88",
            "c/1/1": "15162828171828280000000000000000020000000000000004000000000000000200000000000000020000"
            "000000000002000000000000000600000000000000020000000000000002"
            "67cf4b",
            "c/2/0": "282800000000000000000200000000000000a46008d0",
            "c/2/1": "28282828000000000000000002000000000000000200000000000000020000000000000004526e88",
        },
    ),
}


@pytest.mark.parametrize("kind", BY_ZARR_PYTHON_3_4_2)
def test_what_zarr_python_wrote_is_read_and_written_the_same(kind):
    chunk_shapes, codecs, chunks = BY_ZARR_PYTHON_3_4_2[kind]
    store = MemoryStore()
    store.put("zarr.json", json.dumps(document(chunk_shapes, shape=(6, 6)) | {"codecs": codecs}).encode())
    for key, data in chunks.items():
        store.put(key, bytes.fromhex(data))
    expected = np.arange(1, 31, dtype="u1").reshape(5, 6)
    z = sz.open_array(store)
    expected = np.concatenate([expected[:4], np.full((2, 6), 40, "u1")])
    assert np.array_equal(z[:], expected)
    ours = sz.create_array(
        MemoryStore(),
        data=np.arange(1, 31, dtype="u1").reshape(5, 6),
        compressors=None,
        **(
            {"chunks": [[3, 1, 1], [2, 4]]}
            if kind == "chunks"
            else {"chunks": (1, 2), "shards": [[3, 2], [2, 4]]}
        ),
    )
    ours.resize((4, 6))
    ours.append(np.full((2, 6), 40, "u1"))
    assert ours.metadata.to_json()["chunk_grid"]["configuration"]["chunk_shapes"] == chunk_shapes
    assert np.array_equal(ours[:], expected)
    if kind == "chunks":  # the order of chunks inside of a shard is the writer's own
        assert {key: ours.store.get(key).hex() for key in chunks} == chunks


lengths = st.lists(st.integers(1, 5), min_size=1, max_size=8)


@given(lengths, st.data())
@settings(max_examples=100, deadline=None)
def test_an_axis_of_runs_is_the_list_of_its_chunks(edges, data):
    extent = data.draw(st.integers(0, sum(edges)))
    axis = RectilinearChunks.of([edges]).grid((extent,)).axes[0]
    assert isinstance(axis, RunAxis)
    owner = np.repeat(np.arange(len(edges)), edges)[:extent]
    assert axis.count == (owner[-1] + 1 if extent else 0)
    assert [axis.chunk_of(p) for p in range(extent)] == owner.tolist()
    assert axis.chunks_of(np.arange(extent)).tolist() == owner.tolist()
    starts = [0, *np.cumsum(edges).tolist()]
    for chunk in range(axis.count):
        assert (axis.start(chunk), axis.size(chunk)) == (starts[chunk], edges[chunk])
        assert axis.valid(chunk) == min(edges[chunk], extent - starts[chunk])
    if len(set(edges)) == 1:
        assert axis.count == regular_grid((extent,), (edges[0],)).size


@given(lengths, lengths, st.data())
@settings(max_examples=100, deadline=None)
def test_any_selection_is_what_numpy_selects(rows, columns, data):
    shape = (sum(rows), sum(columns))
    expected = np.arange(np.prod(shape)).reshape(shape)
    z = sz.create_array(MemoryStore(), data=expected, chunks=[rows, columns], compressors=None)

    def along(n):
        bound = st.integers(0, n)
        return data.draw(st.builds(slice, bound, bound, st.integers(1, 4)) | st.integers(-n, n - 1))

    index = along(shape[0]), along(shape[1])
    assert np.array_equal(z[index], expected[index])
    expected[index] = 10**6
    z[index] = 10**6
    assert np.array_equal(z[:], expected)
