"""The behaviour of a store as a pytest class: subclass it, give it a store, and every test runs by name.

>>> import pytest
>>> from streamzarr.stores import MemoryStore
>>> class TestMyStore(StoreSuite):
...     @pytest.fixture
...     def store(self):
...         return MemoryStore()

A store that cannot be written to subclasses :class:`StoreReadSuite` and overrides ``stored`` instead.
What a store's ``capabilities`` deny is tested for being refused, not skipped.
"""

# ruff: noqa: D102 - the tests say by their names what they test

from __future__ import annotations

import pickle  # noqa: TID251 - a store must survive the pickling that multiprocessing does
import threading  # noqa: TID251 - the cases of several threads at one store
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import TypeAlias

import pytest

from streamzarr.errors import (
    ConfigError,
    KeyNotFoundError,
    LimitExceededError,
    PreconditionFailedError,
    UnsupportedError,
)
from streamzarr.stores.base import ByteRange, DirListing, ObjectInfo, RangeRequest, Store, SuffixRequest
from streamzarr.stores.registry import open_store

Stored: TypeAlias = Callable[[Mapping[str, bytes]], Store]

BAD_KEYS = (
    "",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "../a",
    "a/../b",
    "a/..",
    "a/./b",
    "./a",
    "a\\b",
    "a\0b",
    "a" * 256,
    "é" * 128,
    "\udcff",
    "/".join(["a" * 100] * 20),
)
GOOD_KEYS = (
    "a",
    ".zarray",
    "..a",
    "a..",
    "a/.b./c",
    "x" * 255,
    "é" * 127,
    "a b",
    "a%20b",
    "ключ/+&=#?*[x]",
    "__x",
)


class StoreReadSuite:
    """What holds for reading from any store."""

    picklable = True
    """Whether the store can be sent to another process; otherwise pickling must be refused."""
    many_keys = 1_010
    """More keys than one page of a listing holds."""

    @pytest.fixture
    def stored(self) -> Stored:
        """Return a function that gives a store holding just the given values."""
        raise NotImplementedError("a subclass says how to make its store")

    def test_get_returns_the_value(self, stored: Stored) -> None:
        store = stored({"a/b": b"value", "empty": b""})
        assert store.get("a/b") == b"value"
        assert store.get("empty") == b""
        assert isinstance(store.get("a/b"), bytes)

    def test_missing_key_is_an_error_that_names_it(self, stored: Stored) -> None:
        store = stored({"a/b": b"value"})
        for key in ("a", "a/c", "a/b/c", "nothing/here"):
            for read in (store.get, store.fetch, store.head):
                with pytest.raises(KeyNotFoundError) as caught:
                    read(key)
                assert repr(key) in str(caught.value)
            assert not store.exists(key)
        assert store.exists("a/b")

    @pytest.mark.parametrize("size", [0, 1, 10, 100_000])
    def test_ranges_are_cut_at_the_end(self, stored: Stored, size: int) -> None:
        value = bytes(index % 251 for index in range(size))
        store = stored({"v": value})
        inside = [(0, 0), (0, 1), (0, size), (1, 5), (3, 3), (5, 2), (0, None), (2, None)]
        beyond = [(size, size + 5), (size + 9, None), (0, size + 100), (0, 1 << 62)]
        for start, stop in inside + beyond:
            assert store.get("v", RangeRequest(start, stop)) == value[start:stop], (start, stop)

    @pytest.mark.parametrize("length", [0, 1, 9, 10, 11, 1 << 40])
    def test_suffix_longer_than_the_value_is_the_whole_value(self, stored: Stored, length: int) -> None:
        store = stored({"v": b"0123456789"})
        assert store.get("v", SuffixRequest(length)) == (b"0123456789"[-length:] if length else b"")

    def test_negative_ranges_are_refused(self, stored: Stored) -> None:
        store = stored({"v": b"0123456789"})
        for byte_range in (RangeRequest(-1), RangeRequest(0, -1), SuffixRequest(-1)):
            with pytest.raises(ConfigError):
                store.get("v", byte_range)

    def test_get_ranges_keeps_the_order_asked_for(self, stored: Stored) -> None:
        store = stored({"v": b"0123456789"})
        ranges: list[ByteRange] = [
            RangeRequest(8),
            SuffixRequest(3),
            RangeRequest(0, 2),
            RangeRequest(4, 4),
            RangeRequest(0, 2),
        ]
        assert store.get_ranges("v", ranges) == [b"89", b"789", b"01", b"", b"01"]
        assert store.get_ranges("v", []) == []
        with pytest.raises(KeyNotFoundError):
            store.get_ranges("missing", ranges)

    @pytest.mark.parametrize("room", [0, 4, 9, 10, 11, 5000])
    def test_get_into_fills_the_buffer_and_tells_the_size(self, stored: Stored, room: int) -> None:
        store = stored({"v": b"0123456789", "empty": b""})
        for buffer in (bytearray(b"." * room), memoryview(bytearray(b"." * room))):
            assert store.get_into("v", buffer) == 10
            assert bytes(buffer) == b"0123456789"[:room] + b"." * (room - 10)
            assert store.get_into("empty", buffer) == 0
            assert store.get_into("missing", buffer) is None
            assert store.get_into("v/missing", buffer) is None
            assert bytes(buffer[:10]) == b"0123456789"[:room]

    def test_get_many_into_does_the_same_for_each(self, stored: Stored) -> None:
        store = stored({"v": b"0123456789", "a/w": b"ab", "empty": b""})
        buffers = [bytearray(b"....") for _ in range(5)]
        keys = ["a/w", "missing", "v", "empty", "a/w"]
        assert store.get_many_into(keys, [memoryview(buffer) for buffer in buffers]) == [2, None, 10, 0, 2]
        assert [bytes(buffer) for buffer in buffers] == [b"ab..", b"....", b"0123", b"....", b"ab.."]
        assert store.get_many_into([], []) == []

    def test_get_limited_refuses_what_is_larger(self, stored: Stored) -> None:
        store = stored({"v": b"0123456789", "empty": b""})
        assert store.get_limited("v", 10) == store.get_limited("v", 1 << 40) == b"0123456789"
        assert store.get_limited("empty", 0) == b""
        for limit in (0, 1, 9):
            with pytest.raises(LimitExceededError, match="'v'"):
                store.get_limited("v", limit)
        with pytest.raises(KeyNotFoundError):
            store.get_limited("missing", 10)

    def test_fetch_limited_refuses_what_is_larger(self, stored: Stored) -> None:
        store = stored({"v": b"0123456789", "empty": b""})
        assert store.fetch_limited("v", 10) == store.fetch_limited("v", 1 << 40) == store.fetch("v")
        assert store.fetch_limited("empty", 0) == store.fetch("empty")
        for limit in (0, 9):
            with pytest.raises(LimitExceededError, match="'v'"):
                store.fetch_limited("v", limit)
        with pytest.raises(KeyNotFoundError):
            store.fetch_limited("missing", 10)

    @pytest.mark.parametrize("room", [1, 3, 5, 10, 11])
    def test_get_pieces_goes_through_the_buffer(self, stored: Stored, room: int) -> None:
        store = stored({"v": b"0123456789", "empty": b""})
        buffer, found = bytearray(room), bytearray()
        assert store.get_pieces("v", buffer, lambda count: found.extend(buffer[:count])) == 10
        assert found == b"0123456789"
        assert store.get_pieces("empty", memoryview(buffer), lambda count: found.extend(b"!")) == 0
        assert store.get_pieces("missing", buffer, lambda count: found.extend(b"!")) is None
        assert found == b"0123456789"

    def test_fetch_and_head_agree(self, stored: Stored) -> None:
        store = stored({"v": b"0123456789"})
        found = store.fetch("v")
        assert found.data == b"0123456789"
        assert found.etag
        assert store.head("v") == ObjectInfo(10, found.etag)

    @pytest.mark.parametrize("key", BAD_KEYS, ids=lambda key: ascii(key)[:20])
    def test_bad_keys_are_refused_by_reads(self, stored: Stored, key: str) -> None:
        store = stored({"a": b"1"})
        for read in (store.get, store.fetch, store.head, store.exists):
            with pytest.raises(ConfigError):
                read(key)
        with pytest.raises(ConfigError):
            store.get_into(key, bytearray(1))
        if key:  # "" is the prefix of everything
            with pytest.raises(ConfigError):
                list(store.list(key))
            with pytest.raises(ConfigError):
                store.list_dir(key)

    def test_list_goes_by_whole_segments(self, stored: Stored) -> None:
        keys = {"foo/a", "foo/b/c", "foobar/d", "fo", "z"}
        store = stored(dict.fromkeys(keys, b""))
        assert set(store.list()) == keys
        assert sorted(store.list("foo")) == ["foo/a", "foo/b/c"]
        assert list(store.list("foo/b")) == ["foo/b/c"]
        assert list(store.list("fo")) == []
        assert list(store.list("nothing")) == []
        assert list(store.list("foo/a")) == []

    def test_list_dir_gives_keys_and_prefixes(self, stored: Stored) -> None:
        store = stored(
            dict.fromkeys(["foo/zarr.json", "foo/c/0/0", "foo/c/1/0", "foobar", "zarr.json"], b"{}")
        )
        assert store.list_dir() == DirListing(("foobar", "zarr.json"), ("foo/",))
        assert store.list_dir("foo") == DirListing(("foo/zarr.json",), ("foo/c/",))
        assert store.list_dir("foo/c") == DirListing((), ("foo/c/0/", "foo/c/1/"))
        assert store.list_dir("nothing") == DirListing((), ())
        assert store.list_dir("zarr.json") == DirListing((), ())

    def test_many_keys_are_all_listed(self, stored: Stored) -> None:
        keys = {f"c/{index}" for index in range(self.many_keys)}
        store = stored(dict.fromkeys(keys, b""))
        assert set(store.list("c")) == keys
        assert set(store.list_dir("c").keys) == keys

    def test_list_sizes_says_the_same_and_how_large_each_value_is(self, stored: Stored) -> None:
        values = {f"a/{index}": b"x" * (index % 7) for index in range(self.many_keys)} | {
            "b": b"12",
            "ab": b"",
        }
        store = stored(values)
        assert sorted(store.list_sizes()) == sorted((key, len(value)) for key, value in values.items())
        assert len(list(store.list_sizes("a"))) == self.many_keys
        assert list(store.list_sizes("b")) == list(store.list_sizes("nothing")) == []
        with pytest.raises(ConfigError):
            list(store.list_sizes("a/"))

    def test_empty_store(self, stored: Stored) -> None:
        store = stored({})
        assert list(store.list()) == []
        assert store.list_dir() == DirListing((), ())
        assert not store.exists("zarr.json")

    def test_pickling_reopens_or_is_refused(self, stored: Stored) -> None:
        store = stored({"a": b"1"})
        if self.picklable:
            again = pickle.loads(pickle.dumps(store))  # noqa: S301
            assert again.get("a") == b"1"
            assert again.url == store.url
        else:
            with pytest.raises(UnsupportedError):
                pickle.dumps(store)

    def test_url_opens_it_again(self, stored: Stored) -> None:
        store = stored({"a/b": b"1"})
        assert open_store(store.url).get("a/b") == b"1"

    def test_close_is_not_the_end(self, stored: Stored) -> None:
        store = stored({"a": b"1"})
        with store:
            assert store.get("a") == b"1"
        store.close()
        assert store.get("a") == b"1"


class StoreSuite(StoreReadSuite):
    """What holds for a store that can be written to, reading included."""

    @pytest.fixture
    def store(self) -> Store:
        """Return a new, empty store."""
        raise NotImplementedError("a subclass says how to make its store")

    @pytest.fixture
    def stored(self, store: Store) -> Stored:
        """Fill :meth:`store`."""

        def fill(values: Mapping[str, bytes]) -> Store:
            store.put_many(values.items())
            return store

        return fill

    def test_put_replaces_the_value(self, store: Store) -> None:
        store.put("a/b", b"a longer value")
        store.put("a/b", b"short")
        assert store.get("a/b") == b"short"
        store.put("a/b", b"")
        assert store.get("a/b") == b""

    @pytest.mark.parametrize("key", GOOD_KEYS, ids=lambda key: ascii(key)[:20])
    def test_unusual_keys_are_kept(self, store: Store, key: str) -> None:
        store.put(key, b"value")
        assert store.get(key) == b"value"
        assert list(store.list()) == [key]
        store.delete(key)
        assert not store.exists(key)

    @pytest.mark.parametrize("key", BAD_KEYS, ids=lambda key: ascii(key)[:20])
    def test_bad_keys_are_refused_by_writes(self, store: Store, key: str) -> None:
        with pytest.raises(ConfigError):
            store.put(key, b"")
        with pytest.raises(ConfigError):
            store.put_many([(key, b"")])
        with pytest.raises(ConfigError):
            store.delete(key)
        if key:
            with pytest.raises(ConfigError):
                store.delete_prefix(key)
        assert list(store.list()) == []

    def test_nfc_and_nfd_are_two_keys(self, store: Store) -> None:
        store.put("\u00e9", b"composed")
        store.put("e\u0301", b"decomposed")
        assert (store.get("\u00e9"), store.get("e\u0301")) == (b"composed", b"decomposed")

    def test_put_copies_what_it_is_given(self, store: Store) -> None:
        data = bytearray(b"before")
        store.put("a", data)
        store.put_many([("b", data), ("c", memoryview(data)[2:])])
        data[:] = b"after!"
        assert (store.get("a"), store.get("b"), store.get("c")) == (b"before", b"before", b"fore")

    def test_put_takes_any_contiguous_buffer(self, store: Store) -> None:
        view = memoryview(bytearray(range(24))).cast("i", (2, 3))
        store.put("a", view)
        assert store.get("a") == bytes(range(24))

    @pytest.mark.parametrize("size", [1 << 16, (1 << 20) + 1, 12 << 20])
    def test_big_values(self, store: Store, size: int) -> None:
        value = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        store.put("big", value)
        assert store.get("big") == value
        assert store.get("big", SuffixRequest(1000)) == value[-1000:]
        assert store.get("big", RangeRequest(size // 2, size // 2 + 70_000)) == value[size // 2 :][:70_000]
        assert store.head("big").size == size

    def test_put_many_writes_all_and_the_last_of_one_key_wins(self, store: Store) -> None:
        items = [(f"c/{index % 7}/{index}", str(index).encode()) for index in range(150)]
        store.put_many(iter(items))
        assert {key: store.get(key) for key in store.list()} == dict(items)
        store.put_many([("same", b"1"), ("same", b"2")])
        assert store.get("same") == b"2"
        store.put_many([])

    def test_every_put_changes_the_etag(self, store: Store) -> None:
        if self._refuses_conditions(store):
            return
        etags = [store.put("a", b"same length %d" % (index % 2)) for index in range(20)]
        assert all(one != other for one, other in pairwise(etags))
        assert store.head("a").etag == etags[-1] == store.fetch("a").etag

    def test_put_if_none_match_creates_once(self, store: Store) -> None:
        if self._refuses_conditions(store):
            return
        etag = store.put("a", b"first", if_none_match=True)
        with pytest.raises(PreconditionFailedError, match="'a'"):
            store.put("a", b"second", if_none_match=True)
        assert store.fetch("a").data == b"first"
        assert store.fetch("a").etag == etag
        store.delete("a")
        store.put("a", b"third", if_none_match=True)

    def test_put_if_match_replaces_what_was_expected(self, store: Store) -> None:
        if self._refuses_conditions(store):
            return
        first = store.put("a", b"first")
        second = store.put("a", b"second", if_match=first)
        with pytest.raises(PreconditionFailedError, match="'a'"):
            store.put("a", b"stale", if_match=first)
        assert store.get("a") == b"second"
        assert store.put("a", b"third", if_match=store.head("a").etag) != second

    def test_put_if_match_on_a_missing_key_fails(self, store: Store) -> None:
        if self._refuses_conditions(store):
            return
        etag = store.put("a", b"first")
        store.delete("a")
        for key in ("a", "never/there"):
            with pytest.raises(PreconditionFailedError):
                store.put(key, b"second", if_match=etag)
            assert not store.exists(key)

    def test_if_match_takes_any_text(self, store: Store) -> None:
        if self._refuses_conditions(store):
            return
        store.put("a", b"first")
        for etag in ("", "0", '"quoted"', "no such etag"):
            with pytest.raises(PreconditionFailedError):
                store.put("a", b"second", if_match=etag)
        assert store.get("a") == b"first"

    def test_one_of_eight_threads_creates(self, store: Store) -> None:
        if self._refuses_conditions(store):
            return
        for round_number in range(5):
            key = f"race/{round_number}"
            winners = _race(8, partial(self._create, store, key))
            assert len(winners) == 1
            assert store.get(key) == b"%d" % winners[0]

    def test_one_of_eight_threads_replaces(self, store: Store) -> None:
        if self._refuses_conditions(store):
            return
        etag = store.put("race", b"start")
        for _ in range(5):
            winners = _race(8, partial(self._replace, store, etag))
            assert len(winners) == 1
            found = store.fetch("race")
            assert found.data == b"%d" % winners[0]
            etag = store.put("race", b"again", if_match=found.etag)

    def test_delete_is_idempotent(self, store: Store) -> None:
        store.put("a/b/c", b"1")
        store.put("a/d", b"2")
        store.delete("a/b/c")
        store.delete("a/b/c")
        store.delete("never/there")
        store.delete("a")
        assert not store.exists("a/b/c")
        assert store.list_dir("a") == DirListing(("a/d",), ())
        store.put("a/b/c", b"3")
        assert store.get("a/b/c") == b"3"

    def test_delete_if_match(self, store: Store) -> None:
        if self._refuses_conditions(store):
            return
        stale = store.put("a", b"1")
        etag = store.put("a", b"2")
        with pytest.raises(PreconditionFailedError):
            store.delete("a", if_match=stale)
        assert store.get("a") == b"2"
        store.delete("a", if_match=etag)
        assert not store.exists("a")
        for key in ("a", "never/there"):
            with pytest.raises(PreconditionFailedError):
                store.delete(key, if_match=etag)

    def test_delete_prefix_goes_by_whole_segments(self, store: Store) -> None:
        store.put_many([(key, b"1") for key in ("foo/a", "foo/b/c", "foobar/d", "z")])
        store.delete_prefix("foo")
        store.delete_prefix("nothing")
        store.delete_prefix("z")
        assert sorted(store.list()) == ["foobar/d", "z"]
        assert store.list_dir() == DirListing(("z",), ("foobar/",))
        store.delete_prefix("")
        assert list(store.list()) == []
        store.put("foo/a", b"2")
        assert store.get("foo/a") == b"2"

    def test_concurrent_puts_are_never_torn(self, store: Store) -> None:
        size, writers, rounds = 40_000, 4, 12
        store.put("a", b"\0" * size)
        finished = threading.Event()
        seen: set[bytes] = set()

        def read() -> None:
            buffer = bytearray(size + 1)
            while not finished.is_set():
                for value in (store.get("a"), store.fetch("a").data):
                    assert len(value) == size
                    assert value.count(value[:1]) == size
                    seen.add(value[:1])
                assert store.get_into("a", buffer) == size
                assert buffer.count(buffer[:1], 0, size) == size

        def write(index: int) -> None:
            for number in range(rounds):
                store.put("a", bytes([1 + index * rounds + number]) * size)

        with ThreadPoolExecutor(writers + 1) as pool:
            reader = pool.submit(read)
            writing = [pool.submit(write, index) for index in range(writers)]
            try:
                for future in writing:
                    future.result()
            finally:
                finished.set()
            reader.result()
        assert seen

    def test_writers_and_deleters_of_one_directory_do_not_disturb_each_other(self, store: Store) -> None:
        def work(index: int) -> None:
            for number in range(15):
                store.put(f"d/{index}/x", b"%d" % number)
                assert store.get(f"d/{index}/x") == b"%d" % number
                store.delete(f"d/{index}/x")

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
        assert list(store.list()) == []

    def test_delete_many(self, store: Store) -> None:
        kept = ["a/b/c", "ab", "a/x"]
        gone = [f"a/b/{number}" for number in range(self.many_keys)] + ["a/d/e/f", "b"]
        store.put_many((key, b"1") for key in [*kept, *gone])
        store.delete_many(key for key in [*gone, "never/was"])
        assert sorted(store.list()) == sorted(kept)
        assert store.list_dir("a").prefixes == ("a/b/",)
        store.delete_many([])
        with pytest.raises(ConfigError):
            store.delete_many(["a/../b"])
        store.delete_many(kept)
        assert list(store.list()) == list(store.list_strange()) == []

    def test_what_is_deleted_and_put_while_a_listing_goes_on_hides_nothing(self, store: Store) -> None:
        keys = {f"a/{number % 9}/{number}" for number in range(self.many_keys)}
        store.put_many((key, b"1") for key in keys)
        seen = []
        for number, key in enumerate(store.list("a")):
            seen.append(key)
            store.delete(key)
            if number % 100 == 0:
                store.put(f"b/{number}", b"1")
        assert sorted(seen) == sorted(keys)
        assert all(key.startswith("b/") for key in store.list())

    def test_delete_many_takes_a_listing_of_the_same_store(self, store: Store) -> None:
        store.put_many((f"a/{number % 9}/{number}", b"1") for number in range(self.many_keys))
        store.put("b", b"1")
        store.delete_many(key for key in store.list() if key != "b")
        assert list(store.list()) == ["b"]

    def test_collect_stale_leaves_values_alone(self, store: Store) -> None:
        store.put("a/b", b"1")
        assert store.collect_stale() == 0
        assert store.collect_stale("a") == 0
        assert store.get("a/b") == b"1"

    def test_read_only(self, store: Store) -> None:
        store.put("a", b"1")
        reader = open_store(store, mode="r")
        assert reader.get("a") == b"1"
        assert not reader.capabilities.writable
        for write in (
            lambda: reader.put("a", b"2"),
            lambda: reader.put_many([("a", b"2")]),
            lambda: reader.delete("a"),
            lambda: reader.delete_many(["a"]),
            lambda: reader.delete_prefix(""),
        ):
            with pytest.raises(UnsupportedError, match="read-only"):
                write()
        assert store.get("a") == b"1"

    @staticmethod
    def _create(store: Store, key: str, number: int) -> None:
        store.put(key, b"%d" % number, if_none_match=True)

    @staticmethod
    def _replace(store: Store, etag: str, number: int) -> None:
        store.put("race", b"%d" % number, if_match=etag)

    @staticmethod
    def _refuses_conditions(store: Store) -> bool:
        """Check that a store without conditional put refuses the conditions; tell whether it is one."""
        if store.capabilities.conditional_put:
            return False
        with pytest.raises(UnsupportedError):
            store.put("a", b"1", if_none_match=True)
        with pytest.raises(UnsupportedError):
            store.put("a", b"1", if_match="x")
        with pytest.raises(UnsupportedError):
            store.delete("a", if_match="x")
        assert not store.exists("a")
        return True


def _race(threads: int, attempt: Callable[[int], object]) -> list[int]:
    """Let `threads` threads make the same attempt at once; return the numbers of those that succeeded."""
    barrier = threading.Barrier(threads)

    def run(index: int) -> bool:
        barrier.wait()
        try:
            attempt(index)
        except PreconditionFailedError:
            return False
        return True

    with ThreadPoolExecutor(threads) as pool:
        return [index for index, won in enumerate(pool.map(run, range(threads))) if won]
