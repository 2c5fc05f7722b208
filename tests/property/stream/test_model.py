"""Every order in which writers can take a stream over from each other, with the code that is used in earnest.

``STREAMZARR_MODEL=large`` explores larger bounds; a run then takes minutes.
"""

from __future__ import annotations

import json
import os
import sys
from functools import lru_cache

import pytest

from streamzarr.errors import FencedError, KeyNotFoundError, StoreError
from streamzarr.stores import MemoryStore
from streamzarr.stream import Field, StreamWriter, column, writer
from streamzarr.stream import acquire as acquiring
from streamzarr.stream.chunks import FencedChunks
from streamzarr.stream.document import RootDocument
from tests.support.replay import Exploration, ReplayRuntime, ViolationError

LARGE = os.environ.get("STREAMZARR_MODEL") == "large"


class Play:
    """Writers that append to one stream until it has so many rows.

    A row holds its own number and that of the process which appended it, so that no two processes agree on a
    row that is not committed. With `zeros`, the rows of every other process are the fill value.
    """

    def __init__(self, *, chunk=2, rows=2, begun=1, batch=1, fields=1, zeros=False, compressors=None):
        self.rows, self.begun, self.batch, self.zeros = rows, begun, batch, zeros
        self.fields = {
            f"f{n}": Field("i8", chunk_rows=chunk + n, compressors=compressors) for n in range(fields)
        }

    def start(self):
        """Return the content of the store at first: a stream with the `begun` rows of a process 9."""
        store = MemoryStore()
        with StreamWriter(store, schema=self.fields, runtime=ReplayRuntime(9)) as stream:
            values = [row * 10 + 9 for row in range(self.begun)]
            stream.append(dict.fromkeys(self.fields, values), next_offset=self.begun)
        return {key: store.fetch(key) for key in store.list()}

    def value(self, row, process):
        return 0 if self.zeros and not process % 2 else row * 10 + process

    def main(self, store, process, tell):
        """Acquire, recover, append and commit; what fails is tried once more."""
        try:
            stream = StreamWriter(store, runtime=ReplayRuntime(process))
            assert stream.position == (stream.rows or None)
            while (row := stream.rows) < self.rows:
                values = [self.value(each, process) for each in range(row, min(row + self.batch, self.rows))]
                batch, end = dict.fromkeys(self.fields, values), row + len(values)
                again(lambda batch=batch, end=end: stream.append(batch, next_offset=end))
                again(stream.commit)
                tell(("committed", row, *values))
        except FencedError:
            tell(("fenced", process))
        except StoreError:
            tell(("gave up", process))

    def explore(self, processes, **options):
        return Exploration(self.start(), self.main, processes, self.check, **options).run()

    def check(self, before, after, told):
        """The invariants I1 to I6 and I9, from one state to the next."""
        was, now = RootDocument.parse(before[ROOT].data, "was"), RootDocument.parse(after[ROOT].data, "now")
        for name in ("epoch", "seq", "rows", "position"):
            assert (getattr(was.record, name) or 0) <= (getattr(now.record, name) or 0), f"{name} went back"
        assert now.record.rows == (now.record.position or 0), "rows and position do not belong together"
        shown = {name: visible(after, now, name) for name in now.fields}
        for name, values in shown.items():
            assert values[: was.record.rows] == visible(before, was, name), (
                f"committed rows of {name} changed"
            )
            assert values == shown["f0"], "fields differ"
            rows = range(len(values)) if not self.zeros else ()
            assert all(values[row] // 10 == row for row in rows), "a row is not in its place"
            child = json.loads(after[f"{name}/zarr.json"].data)
            assert child["shape"][0] <= now.record.rows, f"the document of {name} leads"
        for kind, *facts in told:
            if kind == "committed":
                row, *values = facts
                assert shown["f0"][row : row + len(values)] == values, f"the commit of row {row} was lost"
            if kind == "fenced":
                assert not now.record.writer.endswith(writer_id(facts[0])), "fenced by nobody"


def again(action):
    try:
        action()
    except StoreError:
        action()


def writer_id(process):
    runtime = ReplayRuntime(process)
    runtime.random_bytes(16)  # the id of the commit that acquires
    return runtime.random_bytes(8).hex()


def visible(content, root, name):
    """Return the rows that a reader of the root sees in one field."""
    length, rows = root.fields[name].chunks[0], []
    for number in range(-(-root.record.rows // length)):
        assert f"{name}/c/{number}" in content, "a committed chunk is missing"
        rows += root.fields[name].chain().decode(content[f"{name}/c/{number}"].data).tolist()
    return rows[: root.record.rows]


ROOT = "zarr.json"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """The same code runs very often on the same documents; and no store need be asked what it can."""
    monkeypatch.setattr(acquiring, "require_conditional_put", lambda store: None)
    parse = lru_cache(100_000)(RootDocument.parse)
    monkeypatch.setattr(RootDocument, "parse", parse)


SMALL = {
    "a fault": ({}, {"processes": 2, "faults": 1}),
    "over the end of a chunk": ({"rows": 4, "batch": 3}, {"processes": 2}),
    "two fields": ({"fields": 2}, {"processes": 2}),
    "etags of the content": ({"chunk": 3, "rows": 3, "zeros": True}, {"processes": 2, "content_etags": True}),
}
BIG = {
    "three writers": ({}, {"processes": 3}),
    "two faults": ({}, {"processes": 2, "faults": 2}),
    "three writers, a fault": ({}, {"processes": 3, "faults": 1}),
    "three writers, a chunk more": ({"rows": 4, "batch": 3}, {"processes": 3}),
    "many commits": ({"rows": 5}, {"processes": 2}),
    "a full chunk whose etag would come back": (
        {"zeros": True, "compressors": "zstd"},
        {"processes": 3, "content_etags": True},
    ),
    "two fields, a fault": ({"fields": 2}, {"processes": 2, "faults": 1}),
    "etags of the content, a fault": (
        {"chunk": 3, "rows": 3, "zeros": True},
        {"processes": 2, "faults": 1, "content_etags": True},
    ),
}
BOUNDS = SMALL | BIG if LARGE else SMALL


@pytest.mark.timeout(7200 if LARGE else 300)
@pytest.mark.parametrize("name", BOUNDS)
def test_no_order_of_events_breaks_a_promise(name, record_property):
    play, bounds = BOUNDS[name]
    states = Play(**play).explore(**bounds)
    record_property("states", states)
    assert states > 500, "too few to tell anything"
    if LARGE:
        sys.stderr.write(f"{name}: {states} states\n")


def put_without_a_condition(chunks, key, data):
    """Shortcut 1: swapping the root fences data as well."""
    chunks._store.put(key, data)


def recover_without_looking_again(store, path, root, columns, children):
    """Shortcut 2: the epoch was just raised, so what is read now is ours."""
    columns.recover(root.record)
    children.follow(root.document)


def learn_after_looking(chunks, key):
    """Shortcut 3: first whether we may, then what is there."""
    chunks._root.require_ours()
    try:
        chunks._etags[key] = chunks._store.head(key).etag
    except KeyNotFoundError:
        chunks._etags.pop(key, None)


def stamp_nothing(padding, random):
    """Shortcut 4: padding is the fill value, as other writers have it."""


def mark_nothing(codec, data, mark):
    """Shortcut 5: a chunk is what its rows are."""
    return data


SHORTCUTS = {
    "unconditional put": ((FencedChunks, "put", put_without_a_condition), {}, {"processes": 2}),
    "recovery looks once": ((writer, "recover", recover_without_looking_again), {}, {"processes": 2}),
    "look, then learn": ((FencedChunks, "_learn", learn_after_looking), {}, {"processes": 2, "faults": 1}),
    "plain padding": (
        (column, "stamp", stamp_nothing),
        {"chunk": 3, "zeros": True},
        {"processes": 2, "content_etags": True},
    ),
    "plain chunks": (
        (column, "marked", mark_nothing),
        {"zeros": True, "compressors": "zstd"},
        {"processes": 3, "content_etags": True},
    ),
}


@pytest.mark.parametrize("name", SHORTCUTS)
def test_each_plausible_shortcut_loses_data(monkeypatch, name):
    shortcut, play, bounds = SHORTCUTS[name]
    monkeypatch.setattr(*shortcut)
    with pytest.raises(ViolationError, match=r"committed rows of f0 changed|was lost"):
        Play(**play).explore(**bounds)
