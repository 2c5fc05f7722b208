"""Every order in which writers can take a stream over from each other, with the code that is used in earnest.

``STREAMZARR_MODEL=large`` explores larger bounds, which takes an hour or two in all; ``huge`` one more, which
takes hours and several gigabytes by itself.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from functools import lru_cache

import pytest

from streamzarr.errors import FencedError, KeyNotFoundError, StoreError
from streamzarr.stores import MemoryStore
from streamzarr.stream import Field, StreamWriter, column, compact, retain, retention, writer
from streamzarr.stream import acquire as acquiring
from streamzarr.stream.amend import amend
from streamzarr.stream.chunks import FencedChunks
from streamzarr.stream.document import RootDocument
from streamzarr.stream.root import fetch_root
from tests.support.replay import Exploration, ReplayRuntime, ViolationError

SIZE = os.environ.get("STREAMZARR_MODEL", "small")


class Play:
    """Writers that append to one stream until it has so many rows.

    A row holds its own number and that of the process which appended it, so that no two processes agree on a
    row that is not committed. With `zeros`, the rows of every other process are the fill value. With `grows`,
    each process adds a field unless it is there. With `upkeep`, process 1 does that and writes nothing.
    """

    def __init__(
        self,
        *,
        chunk=2,
        rows=2,
        begun=1,
        batch=1,
        fields=1,
        zeros=False,
        compressors=None,
        grows=False,
        upkeep=None,
    ):
        self.rows, self.begun, self.batch, self.zeros, self.grows = rows, begun, batch, zeros, grows
        self.upkeep = upkeep
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
        if self.upkeep and process == 1:
            with suppress(StoreError):
                again(lambda: self.upkeep(store))
            return
        try:
            stream = StreamWriter(store, runtime=ReplayRuntime(process))
            assert stream.position == (stream.rows or None)
            if self.grows and ADDED not in stream.fields:
                again(lambda: stream.add_field(ADDED, NEW), stream.commit)
            while (row := stream.rows) < self.rows:
                values = [self.value(each, process) for each in range(row, min(row + self.batch, self.rows))]
                batch, end = dict.fromkeys(stream.fields, values), row + len(values)
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
        for name in ("epoch", "seq", "rows", "first_row", "position"):
            assert (getattr(was.record, name) or 0) <= (getattr(now.record, name) or 0), f"{name} went back"
        assert now.record.rows == (now.record.position or 0), "rows and position do not belong together"
        shown = {name: visible(after, now, name) for name in now.fields}
        for name, values in shown.items():
            if name in was.fields:
                first, old = now.record.first_row, visible(before, was, name)
                assert values[first : was.record.rows] == old[first:], f"committed rows of {name} changed"
            since = now.record.since.get(name, 0)
            start = max(since, now.record.first_row)
            assert values[since:] == shown["f0"][since:], "fields differ"
            assert {*values[now.record.first_row : since]} <= {FILL}, "an added field has earlier rows"
            rows = range(start, len(values)) if not self.zeros else ()
            assert all(values[row] // 10 == row for row in rows), "a row is not in its place"
            if (child := after.get(f"{name}/zarr.json")) is not None:
                assert json.loads(child.data)["shape"][0] <= now.record.rows, f"the document of {name} leads"
        for kind, *facts in told:
            if kind == "committed":
                row, *values = facts
                gone = max(0, now.record.first_row - row)
                found = shown["f0"][row : row + len(values)]
                assert found[gone:] == values[gone:], f"the commit of row {row} was lost"
            if kind == "fenced":
                assert not now.record.writer.endswith(writer_id(facts[0])), "fenced by nobody"


def give_up(store):
    retain(store, rows=1)


def gather(store):
    compact(store, chunks=1, delete=True)


def again(action, then=None):
    try:
        action()
    except StoreError:
        (then or action)()


def writer_id(process):
    runtime = ReplayRuntime(process)
    runtime.random_bytes(16)  # the id of the commit that acquires
    return runtime.random_bytes(8).hex()


def visible(content, root, name):
    """Return the rows that a reader of the root sees in one field, None for those that were given up."""
    first = root.record.first_row
    length, rows = root.fields[name].chunks[0], []
    for number in range(-(-root.record.rows // length)):
        stored, sealed = content.get(f"{name}/c/{number}"), root.record.sealed.get(name, 0)
        if number * length < sealed:
            shard = content[f"shards/{name}/c/{number}"].data
            rows += root.shards[name].chain().decode(shard).tolist()
            continue
        since = root.record.since.get(name, 0)
        unstored = min((number + 1) * length, root.record.rows) <= max(since, first)
        assert stored is not None or unstored, "a committed chunk is missing"
        rows += [FILL] * length if stored is None else root.fields[name].chain().decode(stored.data).tolist()
    return [None] * first + rows[first : root.record.rows]


ROOT = "zarr.json"
ADDED, FILL = "g", -1
NEW = Field("i8", chunk_rows=1, compressors=None, fill_value=FILL)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """The same code runs very often on the same documents; and no store need be asked what it can."""
    monkeypatch.setattr(acquiring, "probe_conditional_put", lambda store: None)
    parse = lru_cache(100_000)(RootDocument.parse)
    monkeypatch.setattr(RootDocument, "parse", parse)


SMALL = {
    "a fault": ({}, {"processes": 2, "faults": 1}),
    "over the end of a chunk": ({"rows": 4, "batch": 3}, {"processes": 2}),
    "a field more": ({"grows": True, "begun": 2, "rows": 3}, {"processes": 2}),
    "retention": ({"upkeep": give_up, "begun": 4, "rows": 6}, {"processes": 2}),
    "retention, a fault": ({"upkeep": give_up, "begun": 4, "rows": 5}, {"processes": 2, "faults": 1}),
    "compaction": ({"upkeep": gather, "begun": 4, "rows": 5}, {"processes": 2}),
    "two fields": ({"fields": 2}, {"processes": 2}),
    "etags of the content": ({"chunk": 3, "rows": 3, "zeros": True}, {"processes": 2, "content_etags": True}),
}
BIG = {
    "three writers": ({}, {"processes": 3}),
    "two faults": ({}, {"processes": 2, "faults": 2}),
    "three writers, a chunk more": ({"rows": 4, "batch": 3}, {"processes": 3}),
    "many commits": ({"rows": 5}, {"processes": 2}),
    "a field more, a fault": ({"grows": True, "begun": 2, "rows": 3}, {"processes": 2, "faults": 1}),
    "compaction, a fault": ({"upkeep": gather, "begun": 3, "rows": 4}, {"processes": 2, "faults": 1}),
    "compaction, two writers": ({"upkeep": gather, "begun": 3, "rows": 4}, {"processes": 3}),
    "retention, two writers": ({"upkeep": give_up, "begun": 4, "rows": 5}, {"processes": 3}),
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
HUGE = {"three writers, a fault": ({}, {"processes": 3, "faults": 1})}
BOUNDS = {"small": SMALL, "large": SMALL | BIG, "huge": SMALL | BIG | HUGE}[SIZE]


@pytest.mark.timeout({"small": 300, "large": 7200, "huge": 86_400}[SIZE])
@pytest.mark.parametrize("name", BOUNDS)
def test_no_order_of_events_breaks_a_promise(name, record_property):
    play, bounds = BOUNDS[name]
    states = Play(**play).explore(**bounds)
    record_property("states", states)
    assert states > 500, "too few to tell anything"
    if SIZE != "small":
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


def delete_before_the_root(store, path, change, limits):
    """Shortcut 5: chunks that will be given up are deleted first."""
    document, _ = fetch_root(store, path)
    retention.sweep(store, path, change(document))
    return amend(store, path, change, limits)


def mark_nothing(codec, data, mark):
    """Shortcut 6: a chunk is what its rows are."""
    return data


SHORTCUTS = {
    "unconditional put": ((FencedChunks, "put", put_without_a_condition), {}, {"processes": 2}),
    "recovery looks once": ((writer, "recover", recover_without_looking_again), {}, {"processes": 2}),
    "look, then learn": ((FencedChunks, "_learn", learn_after_looking), {}, {"processes": 2, "faults": 1}),
    "chunks, then the root": (
        (retention, "amend", delete_before_the_root),
        {"upkeep": give_up, "begun": 4, "rows": 5},
        {"processes": 2},
    ),
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
    with pytest.raises(ViolationError, match=r"committed rows of f0 changed|was lost|chunk is missing"):
        Play(**play).explore(**bounds)
