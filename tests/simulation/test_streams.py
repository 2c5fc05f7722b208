"""The scenario of streams finds what it is there to find."""

from __future__ import annotations

import pytest

from streamzarr.stream import Checked, Compacted, Retained, retention
from streamzarr.stream.amend import amend
from streamzarr.stream.chunks import FencedChunks
from streamzarr.stream.root import fetch_root
from streamzarr.testing.simulation import streams
from streamzarr.testing.simulation.play import plan_of, play
from streamzarr.testing.simulation.streams import STREAM


def put_without_a_condition(chunks, key, data):
    chunks._store.put(key, data)


def delete_before_the_root(store, path, change, limits):
    document, _ = fetch_root(store, path)
    retention.sweep(store, path, change(document))
    return amend(store, path, change, limits)


BUGS = {
    "chunks are put without a condition": (FencedChunks, "put", put_without_a_condition, "expected"),
    "rows are deleted before they are given up": (retention, "amend", delete_before_the_root, "gone|missing"),
}


@pytest.mark.parametrize("bug", BUGS)
def test_what_loses_rows_is_found_out(monkeypatch, bug):
    *place, match = BUGS[bug]
    monkeypatch.setattr(*place)
    outcomes = (play(STREAM, plan_of(STREAM, seed)) for seed in range(200))
    failed = next(outcome.failure for outcome in outcomes if outcome.failure)
    with pytest.raises(AssertionError, match=match):
        raise AssertionError(failed)


def test_there_is_upkeep(monkeypatch):
    done = []

    def noted(action):
        return lambda *args, **options: done.append(action(*args, **options)) or done[-1]

    for name in ("retain", "compact", "repair"):
        monkeypatch.setattr(streams, name, noted(getattr(streams, name)))
    for seed in range(8):
        assert play(STREAM, plan_of(STREAM, seed)).ok
    assert any(isinstance(each, Retained) and each.before < each.first_row and each.chunks for each in done)
    assert any(isinstance(each, Compacted) and each.shards and each.chunks for each in done)
    assert any(isinstance(each, Checked) for each in done)
