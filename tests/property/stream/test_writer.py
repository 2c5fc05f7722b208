"""A writer against two lists: what was appended, and what of it can be seen."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import streamzarr as sz
from streamzarr.errors import FencedError
from streamzarr.stores import MemoryStore
from streamzarr.stream import CommitPolicy, Field, acquire

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["append", "append", "append", "commit", "close", "drop", "rival"]),
        st.integers(0, 12),
    ),
    max_size=25,
)


def batch(start, stop):
    n = np.arange(start, stop)
    return {"a": n, "b": (n[:, None] * np.ones(3)).astype("f4"), "c": [f"row {each}" for each in n]}


def check(store, rows):
    snapshot = sz.open_stream(store)
    assert (snapshot.rows, snapshot.position or 0) == (rows, 10 * rows)
    for name, values in batch(0, rows).items():
        assert snapshot[name][:].tolist() == np.asarray(values).tolist()


@settings(max_examples=60, deadline=None)
@given(
    steps=STEPS,
    chunks=st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 6)),
    inner=st.integers(1, 3),
    tail=st.sampled_from(["store", "memory"]),
    policy=st.none() | st.integers(1, 9),
)
def test_what_is_seen_is_what_was_committed(steps, chunks, inner, tail, policy):
    store, unit = MemoryStore(), math.lcm(*chunks)
    acquire._probed.add(store.url)
    schema = {
        "a": Field("i8", chunk_rows=chunks[0], sorted=True),
        "b": Field("f4", shape=(3,), chunk_rows=chunks[1], chunks=(inner,), compressors="gzip"),
        "c": Field("string", chunk_rows=chunks[2]),
    }

    def opened():
        return sz.StreamWriter(store, schema=schema, tail=tail, commit=CommitPolicy(rows=policy))

    def seen_after_a_commit(rows):
        return rows if tail == "store" else max(seen, rows - rows % unit)

    writer, seen = opened(), 0
    for step, count in steps:
        if step == "append":
            start = writer.rows
            before = start - seen
            if policy and before and before >= policy:
                seen = seen_after_a_commit(start)
            writer.append(
                batch(start, start + count), next_offset=[10 * n for n in range(start + 1, start + count + 1)]
            )
            if policy and writer.rows > seen and writer.rows - seen >= policy:
                seen = seen_after_a_commit(writer.rows)
        elif step == "commit":
            writer.commit()
            seen = seen_after_a_commit(writer.rows)
        else:
            if step == "close":
                writer.close()
                seen = writer.rows
            elif step == "drop":
                writer.drop()
            old, writer = writer, opened()
            if step == "rival" and old.rows > seen:
                with pytest.raises(FencedError):
                    old.close()
        check(store, seen)
        assert writer.rows >= seen
        assert (writer.position or 0) == 10 * writer.rows
