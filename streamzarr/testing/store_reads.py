"""What holds for reading from a store, as a pytest class; all of it: :mod:`streamzarr.testing.stores`."""

# ruff: noqa: D102 - the tests say by their names what they test

from __future__ import annotations

import pickle  # noqa: TID251 - a store must survive the pickling that multiprocessing does
from collections.abc import Callable, Mapping
from typing import TypeAlias

import pytest

from streamzarr.errors import ConfigError, KeyNotFoundError, LimitExceededError, UnsupportedError
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

    def test_fetch_changed_gives_only_what_is_not_known(self, stored: Stored) -> None:
        store = stored({"v": b"0123456789"})
        known = store.fetch("v")
        assert store.fetch_changed("v", known.etag, 10) is None
        assert store.fetch_changed("v", known.etag, 0) is None
        assert store.fetch_changed("v", "0" * 32, 10) == known
        with pytest.raises(LimitExceededError, match="'v'"):
            store.fetch_changed("v", "0" * 32, 9)
        with pytest.raises(KeyNotFoundError):
            store.fetch_changed("missing", known.etag, 10)

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
