"""The scenario of streams finds what it is there to find."""

from __future__ import annotations

from streamzarr.stream.chunks import FencedChunks
from streamzarr.testing.simulation.play import plan_of, play
from streamzarr.testing.simulation.streams import STREAM


def put_without_a_condition(chunks, key, data):
    chunks._store.put(key, data)


def test_a_writer_that_puts_chunks_without_a_condition_is_found_out(monkeypatch):
    monkeypatch.setattr(FencedChunks, "put", put_without_a_condition)
    outcomes = (play(STREAM, plan_of(STREAM, seed)) for seed in range(200))
    assert any(outcome.failure and "expected" in outcome.failure for outcome in outcomes)
