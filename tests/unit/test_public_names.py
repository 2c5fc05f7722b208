"""Every public name of the array layer is called: by this file itself, which is what the profiler sees.

``SCENARIOS`` call the names; what counts is the code that ran with this file as its caller, so a name cannot
be covered by what calls it inside of the package, nor by a method of the same name elsewhere. When
``test_every_public_name_is_called`` names what you have just added, call it in the scenario where it belongs.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import CodeType, FrameType, ModuleType

import numpy as np
import pytest

import streamzarr
import streamzarr as sz
from streamzarr import data, stores, zarr
from streamzarr.errors import ConfigError, UnsupportedError
from streamzarr.stores import MemoryStore
from streamzarr.zarr import chunk_keys

MODULES: dict[str, ModuleType] = {
    "zarr": zarr,
    "zarr.chunk_keys": chunk_keys,
    "stores": stores,
    "data": data,
}
ELSEWHERE = {"Demand", "FeedFleet", "Fleet", "LagDemand", "Limits", "open_broker", "transform"}
ELSEWHERE |= {"StreamWriter", "open_stream"} | {"Batcher", "Pipeline", "Processors", "TopicSource"}
"""Names of the top level that belong to other layers."""


def public_names() -> dict[str, CodeType]:
    """Return the code of every public function, method and property, by its name."""
    found: dict[str, CodeType] = {}
    for place, module in MODULES.items():
        for name in module.__all__:
            member = getattr(module, name)
            if inspect.isfunction(member):
                found[f"{place}.{name}"] = inspect.unwrap(member).__code__
            elif inspect.isclass(member) and not getattr(member, "_is_protocol", False):
                found.update((f"{place}.{name}.{key}", code) for key, code in members(member))
    return found


def members(cls: type) -> Iterator[tuple[str, CodeType]]:
    """Yield the public methods and properties of a class, or its constructor when it has none."""
    count = 0
    for name in dir(cls):
        raw = inspect.getattr_static(cls, name)
        function = raw.fget if isinstance(raw, property) else getattr(raw, "__func__", raw)
        ours = inspect.isfunction(function) and function.__module__.startswith("streamzarr")
        if ours and not name.startswith("_") and not getattr(function, "__isabstractmethod__", False):
            count += 1
            yield name, inspect.unwrap(function).__code__
    if not count and not inspect.isabstract(cls):
        yield "__init__", cls.__init__.__code__


@contextmanager
def recording(calls: set[CodeType]) -> Iterator[None]:
    """Add the code of every function that this file calls to `calls`."""

    def profile(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_back is not None and frame.f_back.f_code.co_filename == __file__:
            calls.add(frame.f_code)

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(before)


def array_says(tmp_path):
    z = sz.create_array(str(tmp_path), path="a/b", shape=(4, 6), dtype="i4", chunks=(2, 3), cache=1 << 20)
    assert (z.shape, z.ndim, z.size, z.itemsize, z.nbytes) == ((4, 6), 2, 24, 4, 96)
    assert (z.path, z.name, z.basename) == ("a/b", "/a/b", "b")
    assert z.url == stores.join_url(z.store.url, "a/b")
    assert (z.chunks, z.shards, z.order, z.zarr_format, z.read_only) == ((2, 3), None, "C", 3, False)
    assert (z.cdata_shape, z.nchunks, z.nchunks_initialized) == ((2, 2), 4, 0)
    assert z.read_chunk_sizes == z.write_chunk_sizes == z.grid.lengths == ((2, 2), (3, 3))
    assert (z.fill_value, z.dtype, z.dimension_names) == (0, np.dtype("i4"), None)
    assert (z.filters, z.serializer.name, z.compressors[0].name) == ((), "bytes", "zstd")
    assert z.metadata.to_json()["shape"] == [4, 6]
    assert z.info.shape == (4, 6)
    assert z.info_complete().chunks_initialized == "0/4"
    assert z.nbytes_stored() > 0
    assert z.cache is not None
    assert z.update_attributes({"a": 1}).attrs.asdict() == {"a": 1}
    z.attrs.update(b=2)
    z.attrs.put({"c": 3})
    assert dict(z.refresh().attrs) == {"c": 3}


def array_reads_and_writes(tmp_path):
    values = np.arange(24).reshape(4, 6)
    z = sz.create_array(str(tmp_path), data=values, chunks=(2, 3), dimension_names=["y", "x"])
    z.set_basic_selection(np.s_[0, :2], 7)
    z.set_orthogonal_selection(([1, 3], [0]), 8)
    z.set_coordinate_selection(([2], [5]), 9)
    z.set_mask_selection(values == 10, 1)
    z.set_block_selection((1, 1), 2)
    values = z.read()
    assert np.array_equal(z.get_basic_selection(np.s_[0, :2]), [7, 7])
    assert np.array_equal(z.get_orthogonal_selection(([1, 3], [0])), [[8], [8]])
    assert np.array_equal(z.get_coordinate_selection(([2], [0])), values[[2], [0]])
    assert np.array_equal(z.get_mask_selection(values == 1), values[values == 1])
    assert np.array_equal(z.get_block_selection((1, 1)), np.full((2, 3), 2))
    assert np.array_equal(z.oindex[[0], :], values[:1])
    assert np.array_equal(z.vindex[[0], [1]], values[[0], [1]])
    assert np.array_equal(z.blocks[0, 0], z.isel(y=slice(2), x=slice(3)))
    assert z.append(values[:1]) == (5, 6)
    z.resize((4, 6))
    assert z.chunk_key((0, 1)) == "c/0/1"
    z.write_chunk((0, 1), np.ones((2, 3), int))
    assert z.chunk_etag((0, 1)) == z.store.head(z.chunk_key((0, 1))).etag
    assert z.has_chunk((0, 1))
    assert z.read_chunk((0, 1)).all()
    z.delete_chunk((0, 1))
    assert not z.read_chunk((0, 1)).any()
    assert len(list(z.stream_chunks())) == 4
    target = zarr.empty_like(z)
    z.map_chunks(np.negative, executor="threads").into(target)
    assert np.array_equal(target[:], -z[:])


def values_of_results(tmp_path):
    z = sz.ones((4,), chunks=2)
    block = zarr.ChunkBlock((0,), (slice(0, 2),), z[:2])
    assert block.slices == next(iter(z.stream_chunks())).slices
    region = zarr.ChunkStream(*(getattr(z.stream_chunks(), name) for name in STREAM_FIELDS))
    assert len(region) == 2
    result = zarr.ChunkResult((0,), (slice(0, 2),), 3)
    assert result.value == 3
    assert str(zarr.Tree("/", ())) == "/"
    grid = z.grid
    assert (grid.shape, grid.size, grid.lengths) == ((2,), 2, ((2, 2),))
    assert (grid.chunk_shape((1,)), grid.valid_shape((1,)), grid.slices((1,))) == ((2,), (2,), (slice(2, 4),))
    assert list(grid.indices()) == [(0,), (1,)]
    grid.check((1,))
    cache = sz.ChunkCache(1 << 20)
    part = cache.of("memory://a", z.metadata)
    assert part is not None
    cache.keep_node("memory://a", "place", 1)
    assert cache.node("place") == 1
    cache.invalidate("")
    cache.clear()
    assert cache.stats().hit_rate == 0.0
    assert cache.misses == 0


STREAM_FIELDS = list(zarr.ChunkStream.__dataclass_fields__)


def metadata_as_values(tmp_path):
    for zarr_format in (2, 3):
        z = sz.create_array("memory://", shape=(4,), dtype="i4", chunks=2, zarr_format=zarr_format)
        metadata = z.metadata
        again = type(metadata).from_json(metadata.to_json(), "here")
        assert again == metadata
        assert again.with_attributes({"a": 1}).attributes == {"a": 1}
        assert again.with_shape((6,)).grid.shape == (3,)
        assert (again.dtype, again.fill, again.chunks, again.shards) == (np.dtype("i4"), 0, (2,), None)
        assert len(again.compressors) == 1
        assert again.chain().decode(again.chain().encode(np.ones(2, "i4"))).all()
        assert again.documents()
        if zarr_format == 2:
            assert again.chunk_keys == zarr.V2Keys(".")
        else:
            assert (again.filters, again.inner_chunks, again.sharding) == ((), None, None)
            assert again.serializer.name == "bytes"
        group = sz.create_group("memory://", zarr_format=zarr_format).metadata
        found = type(group).from_json(group.to_json(), "here").with_attributes({"a": 1})
        assert group.with_consolidated({}).consolidated == {}
        assert found.documents()
    chunks = zarr.RectilinearChunks.of([[1, 2], 3])
    configuration = chunks.to_json()["configuration"]
    assert zarr.RectilinearChunks.from_configuration(configuration) == chunks
    assert (chunks.chunk_shape, chunks.lists, chunks.covered(0), chunks.lengths(0)) == (
        *((2, 3), [[1, 2], 3], 3),
        {1, 2},
    )
    assert chunks.grid((3, 3)).size == 2
    assert chunks.resized((5, 3)).lists == [[1, [2, 2]], 3]
    regular = zarr.RegularChunks((2,))
    assert regular.resized((9,)) == regular
    assert (regular.to_json()["name"], regular.grid((4,)).size) == ("regular", 2)


def keys_of_chunks(tmp_path):
    for keys, name in ((zarr.DefaultKeys("/"), "c/1/2"), (zarr.V2Keys("."), "1.2")):
        assert keys.encode((1, 2)) == name
        assert keys.decode(name) == (1, 2)
        assert keys.to_json()["name"] in chunk_keys.names()
    chunk_keys.register("mine", zarr.DefaultKeys)
    chunk_keys.unregister("mine")
    with pytest.raises(ConfigError, match="registered already"):
        zarr.register_codec(zarr.create_array("memory://", data=[1]).serializer.__class__)
    assert "zstd" in zarr.codec_names()
    assert sz.codecs.info("zstd").available


def groups(tmp_path):
    root = sz.create_group(str(tmp_path), attributes={"run": 7})
    assert (root.path, root.name, root.basename, root.zarr_format, root.read_only) == ("", "/", "", 3, False)
    assert root.url == root.store.url
    root.create_array("a", data=[1, 2])
    root.create_group("g")
    root.create_hierarchy({"h/b": {"data": [3]}})
    assert root.require_array("a", shape=(2,), dtype=int).path == "a"
    assert root.require_group("g").path == root.require_groups("g")[0].path
    assert root.update_attributes({"x": 1}).attrs["x"] == 1
    assert [*root.keys()] == ["a", "g", "h"]
    assert [name for name, _ in root.members()] == ["a", "g", "h"]
    assert [name for name, _ in root.arrays()] == [*root.array_keys()] == ["a"]
    assert [name for name, _ in root.groups()] == [*root.group_keys()] == ["g", "h"]
    assert [node.name for node in root.array_values()] == ["/a"]
    assert [node.name for node in root.group_values()] == ["/g", "/h"]
    assert (root.nmembers(), root.get("none")) == (3, None)
    assert [path for path, _ in root.walk(0)] == ["a", "g", "h"]
    assert "h" in str(root.tree())
    assert root.info.name == "/"
    assert root.info_complete().no_members == 4
    assert root.metadata.attributes["run"] == 7


def whole_hierarchies(tmp_path):
    source = str(tmp_path / "a")
    sz.create_hierarchy(source, {"x": {"data": [1, 2]}, "g": {}})
    assert sz.consolidate_metadata(source).metadata.consolidated
    assert zarr.open_consolidated(source).path == ""
    assert sz.copy(source, str(tmp_path / "b")).nmembers() == 2
    assert sz.explain_conversion(source, 2) == []
    assert sz.convert(source, str(tmp_path / "c"), zarr_format=2).zarr_format == 2
    assert sz.open_group(source).nmembers() == 2
    assert sz.open_array(source, path="x")[0] == 1
    assert isinstance(sz.open(source), sz.Group)
    sz.save(str(tmp_path / "d"), [1])
    zarr.save_array(str(tmp_path / "e"), [1])
    zarr.save_group(str(tmp_path / "f"), [1])
    assert sz.load(str(tmp_path / "f"))["arr_0"].tolist() == [1]


def arrays_like_others(tmp_path):
    z = sz.from_array("memory://", data=[1.5])
    assert sz.zeros(1)[0] == zarr.zeros_like(z)[0] == sz.empty(1)[0] == 0
    assert sz.ones(1)[0] == zarr.ones_like(z)[0] == 1
    assert sz.full(1, 5)[0] == zarr.full_like(z, 5)[0] == 5
    assert zarr.empty_like(z).dtype == zarr.open_like(z, str(tmp_path)).dtype == "f8"


def every_store(tmp_path):
    local = stores.LocalStore(tmp_path / "local")
    assert local.root
    assert stores.LocalStore.from_url(stores.split_url(local.url)).url == local.url
    assert MemoryStore.from_url(stores.split_url("memory://names")).url == "memory://names"
    with stores.ZipBuilder(tmp_path / "discarded.zip") as builder:
        builder.put("a", b"1")
        builder.discard()
    builder = stores.ZipBuilder(tmp_path / "a.zip")
    assert builder.root

    class Plain(MemoryStore):
        """Has what the contract gives to stores that do not know better."""

        delete_many = stores.Store.delete_many
        delete_prefix = stores.Store.delete_prefix
        get_limited = stores.Store.get_limited
        list_sizes = stores.Store.list_sizes

    for store in (local, MemoryStore(), Plain(), builder):
        writes(store)
        reads(store)
        store.close()
    packed = stores.ZipStore(tmp_path / "a.zip")
    assert stores.ZipStore.from_url(stores.split_url(packed.url)).url == packed.url
    for store in (packed, stores.ReadOnlyStore(local)):
        reads(store)
        for refused in (
            lambda store=store: store.put("k", b"1"),
            lambda store=store: store.put_many([("k", b"1")]),
            lambda store=store: store.delete("k"),
            lambda store=store: store.delete_many(["k"]),
            lambda store=store: store.delete_prefix("k"),
        ):
            with pytest.raises(UnsupportedError):
                refused()
        assert [*store.list_stale()] == []
        store.collect_stale()
        store.close()


def writes(store):
    assert store.put("k/a", b"123")
    store.put_many([("k/b", b"45"), ("k/c", b"6"), ("l/d", b"7")])
    store.delete("k/c")
    store.put("k/c", b"6")
    store.delete_many(["k/c"])
    store.delete_prefix("l")
    assert [*store.list_stale()] == []
    assert store.collect_stale() >= 0
    assert not store.exists("l/d")


def reads(store):
    assert store.url
    assert store.capabilities.listing
    assert store.get("k/a") == store.fetch("k/a").data == b"123"
    assert store.get_ranges("k/a", [stores.RangeRequest(1, 2), stores.SuffixRequest(1)]) == [b"2", b"3"]
    buffer = bytearray(3)
    assert store.get_into("k/a", buffer) == 3
    assert store.get_many_into(["k/a", "k/c"], [buffer, bytearray(1)]) == [3, None]
    pieces: list[int] = []
    assert store.get_pieces("k/a", bytearray(2), pieces.append) == 3
    assert pieces == [2, 1]
    assert store.get_limited("k/a", 3) == b"123"
    assert store.fetch_limited("k/a", 3).data == b"123"
    assert store.fetch_changed("k/a", store.head("k/a").etag, 3) is None
    assert store.head("k/a").size == 3
    assert store.exists("k/b")
    assert sorted(store.list()) == ["k/a", "k/b"]
    assert sorted(store.list_sizes()) == [("k/a", 3), ("k/b", 2)]
    assert not list(store.list_strange())
    assert store.list_dir().prefixes == ("k/",) or list(store.list_dir().prefixes) == ["k/"]


def names_of_stores(tmp_path):
    assert stores.open_store("memory://x").url == "memory://x"
    assert stores.join_url("memory://x", "a") == "memory://x/a"
    assert stores.is_below("memory://x/a", "memory://x")
    assert stores.overlaps("memory://x", "memory://x/a")
    stores.check_key("a/b")
    stores.check_prefix("")
    assert stores.resolve_range(stores.SuffixRequest(2), 5) == (3, 5)
    stores.split_url("memory://x").reject_options()
    assert stores.split_url("memory://x").shown == "memory://x"
    stores.probe_conditional_put(MemoryStore())
    stores.register_store("names-test", lambda url: MemoryStore(), replace=True)
    assert "names-test" in stores.known_schemes()
    assert stores.DirListing.of("", ["a/b", "c"]).keys
    assert stores.ObjectInfo(3, "etag").size == 3
    assert stores.StoredObject(b"1", "etag").data == b"1"
    assert stores.RangeRequest(0, 1) != stores.SuffixRequest(1)
    capabilities = MemoryStore().capabilities
    fields = {name: getattr(capabilities, name) for name in stores.Capabilities.__dataclass_fields__}
    assert stores.Capabilities(**fields) == capabilities


def batches_of_rows(tmp_path):
    loader = data.batches(np.arange(10), batch_size=4)
    assert [len(batch) for batch in loader.iterate()] == [4, 4, 2]
    loader.set_epoch(1)
    with suppress(ImportError):  # where torch is not installed
        loader.to_torch()


def settings_and_locks(tmp_path):
    with sz.config.set(threads=1, default_zarr_format=2):
        assert (sz.config.threads, sz.config.default_zarr_format) == (1, 2)
    sz.save_array("memory://settings", [1])
    assert sz.load_array("memory://settings").tobytes() == sz.open_array("memory://settings").tobytes()
    locks = sz.locks.ChunkLocks()
    with locks.hold((0, 1)):
        assert locks.held() == {(0, 1)}


SCENARIOS: list[Callable[..., None]] = [
    array_says,
    array_reads_and_writes,
    values_of_results,
    metadata_as_values,
    keys_of_chunks,
    groups,
    whole_hierarchies,
    arrays_like_others,
    every_store,
    names_of_stores,
    batches_of_rows,
    settings_and_locks,
]


@pytest.fixture(scope="module")
def called(tmp_path_factory):
    calls: set[CodeType] = set()
    for scenario in SCENARIOS:
        with recording(calls):
            scenario(tmp_path_factory.mktemp(scenario.__name__))
    return calls


def test_every_public_name_is_called(called):
    missing = [name for name, code in public_names().items() if code not in called]
    assert not missing, f"public, but not called in {__file__}: {missing}"


def test_the_top_level_offers_names_of_the_layers():
    known = {name for module in MODULES.values() for name in module.__all__} | {"open_store"}
    for name in streamzarr.__all__:
        member = getattr(streamzarr, name)
        if not isinstance(member, ModuleType | str) and name not in ELSEWHERE:
            assert name in known, f"{name} is offered by streamzarr alone"
    assert set(dir(streamzarr)) == set(streamzarr.__all__)


def test_the_recorder_does_not_see_calls_from_within_the_package():
    calls: set[CodeType] = set()
    z = sz.zeros((2,))
    with recording(calls):
        len(z)
    assert sz.Array.__len__.__code__ in calls
    assert inspect.getattr_static(sz.Array, "shape").fget.__code__ not in calls
