"""Windows of one partition whose owners die again and again: each record is in them once, or has a letter."""

import json
from contextlib import suppress
from random import Random

import pytest

from streamzarr.errors import NodeNotFoundError, StoreError
from streamzarr.feeds.target import facts_of
from streamzarr.feeds.windows.check import compare_windows, rows_counted, windows_twice, with_held
from streamzarr.flow import Message
from streamzarr.flow.ops.settle import DONE
from streamzarr.queue import DeadLetter
from streamzarr.queue.scan import scan
from tests.support.window_bench import WHERE, Bench

KINDS = [
    {"lateness": "5s", "open": 20},
    {"kind": "sliding", "every": "7s", "lateness": "0s", "idle": "1min"},
    {"kind": "sliding", "every": "3s", "lateness": "20s", "open": 20},
    {"kind": "session", "size": None, "gap": "6s", "lateness": "5s", "idle": "1min"},
]


@pytest.mark.parametrize("window", KINDS, ids=["fixed", "apart", "sliding", "session"])
def test_each_record_is_in_its_windows_or_has_a_letter_whatever_dies_when(window):
    chance, bench, base, count = Random(window["lateness"]), Bench(**window), 50, 60
    for number in range(count):
        base += chance.choice([0, 1, 2, 5, 12])
        rows = [
            {"at": base - chance.choice([0, 0, 0, 3, 9, 40]), "k": chance.choice("abc"), "x": number}
            for _ in range(chance.choice([1, 1, 2]))
        ]
        bench.broker.append("t", 0, json.dumps(rows).encode())
    while (at := die_at_some_put(bench, chance, count)) < count:
        assert len(bench.objects()) <= 3, at
    bench.store.left = 10**9
    bench.live()
    snapshot, held = with_held(bench.stream)
    dead = {DeadLetter.from_record(each).offset for each in scan(bench.broker, "t.dead")}
    found = compare_windows(
        "p00000",
        rows_counted(snapshot),
        held.rows,
        snapshot.rows,
        windows_twice(snapshot, facts_of(snapshot)),
        snapshot.position,
        len(dead),
        count,
        whole=True,
    )
    assert found.ok, found
    assert found.records + len(dead) == count
    assert len(bench.objects()) == 1


def die_at_some_put(bench, chance, end):
    """Live until a put fails, or for a while; return how far it was committed."""
    bench.store.left, bench.store.lost = (
        chance.choice([10**9, chance.randrange(1, 30)]),
        chance.random() < 0.5,
    )
    with suppress(StoreError):
        committer = bench.committer()
        at = committer.start([WHERE])[WHERE]
        end = min(end, at + chance.randrange(1, 25))
        while at < end:
            for run in bench.runs(at, min(chance.choice([1, 3, 7]), end - at)):
                assert committer.store([Message(run=run, data=bench.maker(run))]) == [DONE]
                at = run.stop
                if chance.random() < 0.6:
                    committer.commit({WHERE: at})
            if chance.random() < 0.1:
                bench.runtime.advance(61.0)
                committer.turn()
    try:
        return bench.stream.position["read"]
    except (NodeNotFoundError, TypeError):  # not begun
        return 0
