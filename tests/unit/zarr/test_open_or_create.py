"""Several threads and processes that open what is not there yet: one makes it, the others open it."""

from __future__ import annotations

import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

import streamzarr.zarr as sz
from streamzarr.errors import ContainsArrayError, ContainsGroupError
from streamzarr.stores import MemoryStore, open_store
from streamzarr.testing.faults import WrappedStore

THREADS = 16
SPEC = {"shape": (4,), "dtype": "i4"}


@pytest.fixture(params=[2, 3])
def zarr_format(request):
    return request.param


WAYS = {
    "open_array": lambda s, f: sz.open_array(s, path="a/x", mode="a", zarr_format=f, **SPEC),
    "open_group": lambda s, f: sz.open_group(s, path="a/x", mode="a", zarr_format=f),
    "open, array": lambda s, f: sz.open(s, path="a/x", mode="a", zarr_format=f, **SPEC),
    "open, group": lambda s, f: sz.open(s, path="a/x", mode="a", zarr_format=f),
    "open_like": lambda s, f: sz.open_like(sz.zeros(4, dtype="i4"), s, path="a/x", zarr_format=f),
    "require_group": lambda s, f: sz.open_group(s, mode="a", zarr_format=f).require_group("a/x"),
    "require_groups": lambda s, f: sz.open_group(s, mode="a", zarr_format=f).require_groups("a/x", "a/y")[0],
    "require_array": lambda s, f: sz.open_group(s, mode="a", zarr_format=f).require_array("a/x", **SPEC),
}


class Together(WrappedStore):
    """A store whose writers of the document of `a/x` all come at once: nobody has seen another's."""

    def __init__(self, inner, writers):
        super().__init__(inner)
        self.meeting = threading.Barrier(writers, timeout=30)

    def put(self, key, data, *, if_match=None, if_none_match=False):
        if if_none_match and key in ("a/x/zarr.json", "a/x/.zarray", "a/x/.zgroup"):
            self.meeting.wait()
        return self.inner.put(key, data, if_match=if_match, if_none_match=if_none_match)


def at_once(count, action):
    """Call `action` with 0 to `count` on as many threads, and return what came of each."""
    results = [None] * count
    start = threading.Barrier(count)

    def work(number):
        start.wait()
        try:
            results[number] = action(number)
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=work, args=[number]) for number in range(count)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return results


@pytest.mark.parametrize("way", WAYS)
def test_the_loser_opens_what_is_there(way, zarr_format):
    inner = MemoryStore()
    sz.open_group(inner, mode="a", path="a", zarr_format=zarr_format)
    store = Together(inner, THREADS)

    def work(number):
        node = WAYS[way](store, zarr_format)
        node.attrs[f"by{number}"] = number
        return node

    found = at_once(THREADS, work)
    assert [each for each in found if isinstance(each, Exception)] == []
    assert sz.open(inner, path="a/x").attrs.asdict() == {f"by{number}": number for number in range(THREADS)}


@pytest.mark.parametrize("kind", ["memory", "local"])
def test_nothing_is_lost_of_what_the_winner_gave(tmp_path, zarr_format, kind):
    store = MemoryStore() if kind == "memory" else open_store(str(tmp_path), mode="r+")

    def work(number):
        given = {"attributes": {"made by": number}}
        node = sz.open_array(store, path="x", mode="a", zarr_format=zarr_format, **SPEC, **given)
        node.attrs[f"by{number}"] = number
        return node

    assert not [each for each in at_once(THREADS, work) if isinstance(each, Exception)]
    attributes = sz.open_array(store, path="x").attrs.asdict()
    assert attributes.pop("made by") in range(THREADS)
    assert attributes == {f"by{number}": number for number in range(THREADS)}


def test_children_of_a_consolidated_group(zarr_format):
    store = MemoryStore()
    sz.create_group(store, zarr_format=zarr_format)
    sz.consolidate_metadata(store)

    def work(number):
        root = sz.open_group(store, mode="a")
        root.require_array("same", **SPEC)
        root.require_group(f"own{number}")
        return root

    assert not [each for each in at_once(8, work) if isinstance(each, Exception)]
    found = sz.open_group(store, use_consolidated=True)
    assert sorted(found) == ["own0", "own1", "own2", "own3", "own4", "own5", "own6", "own7", "same"]


def test_another_kind_of_node_is_still_an_error(zarr_format):
    store = MemoryStore()
    sz.create_array(store, path="x", zarr_format=zarr_format, **SPEC)
    root = sz.open_group(store, mode="r+")
    with pytest.raises(ContainsArrayError, match="expected a group"):
        sz.open_group(store, path="x", mode="a", zarr_format=zarr_format)
    with pytest.raises(ContainsArrayError, match="expected a group"):
        root.require_group("x")
    with pytest.raises(ContainsArrayError, match="nothing can be created below"):
        sz.open_array(store, path="x/y", mode="a", zarr_format=zarr_format, **SPEC)
    with pytest.raises(ContainsGroupError, match="expected an array"):
        sz.open_array(store, mode="a", zarr_format=zarr_format, **SPEC)
    with pytest.raises(ContainsArrayError, match="expected"):
        root.require_array("x", shape=(5,), dtype="i4")


def _work(place):
    path, zarr_format, number = place
    for round_ in range(4):
        x = sz.open_array(path, path=f"g/x{round_}", mode="a", zarr_format=zarr_format, **SPEC)
        x.attrs[f"by{number}"] = number
        sz.open_group(path, mode="a", zarr_format=zarr_format).require_group(f"h{round_}")
    return number


def test_processes(tmp_path, zarr_format):
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
        places = [(str(tmp_path / "root"), zarr_format, number) for number in range(8)]
        assert [*pool.map(_work, places)] == [*range(8)]
    root = sz.open_group(str(tmp_path / "root"))
    assert sorted(root) == ["g", *(f"h{round_}" for round_ in range(4))]
    for _, array in root["g"].arrays():
        assert array.attrs.asdict() == {f"by{number}": number for number in range(8)}
        assert array[:].tolist() == np.zeros(4).tolist()


@pytest.mark.parametrize(
    ("dtype", "options"),
    [
        (">i4", {}),
        ([("x", "<f4", (2,))], {}),
        (object, {"filters": "json2"}),
        (object, {"filters": [{"id": "vlen-array", "dtype": "<i4"}]}),
    ],
    ids=str,
)
@pytest.mark.parametrize("exact", [False, True])
def test_types_that_only_v2_has_are_required_again(dtype, options, exact):
    group = sz.create_group(MemoryStore(), zarr_format=2)
    made = group.require_array("a", shape=3, dtype=dtype, **options)
    assert group.require_array("a", shape=3, dtype=dtype, exact=exact, **options).metadata == made.metadata
