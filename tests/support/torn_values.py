"""Processes that write and read whole values of one local store, for a test that kills the writers.

A module of its own, with few imports: a fork server loads it once.
"""

from __future__ import annotations

from multiprocessing.connection import Connection

from streamzarr.errors import KeyNotFoundError
from streamzarr.stores import LocalStore

KEYS = ["a/v", "a/0", "a/1", "a/2"]
SIZE = 200_000


def is_whole(value: bytes | bytearray) -> bool:
    """Tell whether all bytes of `value` are of one put."""
    return len(value) == SIZE and value.count(value[:1]) == SIZE


def write(root: str, ready: Connection) -> None:
    """Replace values until killed; says when it has begun."""
    store = LocalStore(root, fsync=False)
    number = 0
    while True:
        number = number % 250 + 1
        value = bytes([number]) * SIZE
        etag = store.put(KEYS[0], value)
        if number == 1:
            ready.send(True)
        store.put(KEYS[0], value, if_match=etag)
        store.put_many([(key, value) for key in KEYS[1:]])


def read(root: str, finish: Connection) -> None:
    """Read until told to finish; then tell how many values were seen, and what was wrong with some."""
    store = LocalStore(root, fsync=False)
    buffer = bytearray(SIZE + 1)
    count, wrong = 0, list[str]()
    while not finish.poll():
        for key in KEYS:
            try:
                size = store.get_into(key, buffer)
                for value in (store.get(key), store.fetch(key).data, buffer[: size or 0]):
                    count += 1
                    if not is_whole(value):
                        wrong.append(f"{key}: {len(value)} bytes of {len(set(value))} puts")
            except KeyNotFoundError:
                wrong.append(f"{key}: missing")
        names = sorted(store.list())
        if names != sorted(KEYS):
            wrong.append(f"listed: {names}")
    finish.send((count, wrong[:10]))
