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

import threading  # noqa: TID251 - the cases of several threads at one store
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise

import pytest

from streamzarr.errors import (
    ConfigError,
    PreconditionFailedError,
    UnsupportedError,
)
from streamzarr.stores.base import DirListing, RangeRequest, Store, SuffixRequest
from streamzarr.stores.registry import open_store
from streamzarr.testing.store_reads import BAD_KEYS, GOOD_KEYS, Stored, StoreReadSuite

__all__ = ["BAD_KEYS", "GOOD_KEYS", "StoreReadSuite", "StoreSuite", "Stored"]


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
        assert [*store.list_stale()] == []
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
