"""A join that is killed again and again gives each left message the same match, that of pandas."""

import random
import subprocess
import sys
import threading
import time

import pandas as pd
import pytest

from streamzarr.queue import open_broker
from streamzarr.queue.base import NewRecord

pytestmark = pytest.mark.chaos

KILLS = 15

WORKER = """
import os, sys, threading
from streamzarr.flow import Demand, Stop, from_topic, ops, run
from streamzarr.queue import open_broker

url, out, total = sys.argv[1], sys.argv[2], int(sys.argv[3])
stop, file = Stop(), os.open(out, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
seen = {line.split()[0] for line in open(out)}

def row(data):
    key, at, number = data.split(b",")
    return key, int(at), number

def sink(messages):
    lines = [
        "%s %s\\n" % (left[2].decode(), right[2].decode() if right else "-")
        for left, right in (message.data for message in messages)
    ]
    os.write(file, "".join(lines).encode())
    threading.Event().wait(0.002)
    seen.update(line.split()[0] for line in lines)
    if len(seen) == total:
        stop.drain(30)

with open_broker(url) as broker:
    def source(topic, demand, commit_every):
        return from_topic(
            broker, topic, group=topic, demand=demand, commit_every=commit_every, session_timeout=1.0
        ).pipe(ops.map(row))

    # Positions of the right are stored often, those of the left seldom: so much of it comes again.
    chain = source("left", Demand(40), 0.3).pipe(
        ops.join_asof(
            source("right", Demand(30), 0.002), by=lambda row: row[0], time=lambda row: row[1],
            tolerance=30e-9, disorder=8e-9, idle=None,
        ),
        ops.settle(sink),
    )
    run(chain, stop=stop)
"""


def rows(chance, count, last):
    """Return rows of key, time and number, shuffled by less than the disorder that the worker allows."""
    ordered = sorted((chance.randrange(last), chance.choice("abcdef")) for _ in range(count))
    numbered = [(key, at, number) for number, (at, key) in enumerate(ordered)]
    delays = {at: chance.randrange(8) for _, at, _ in numbered}  # those of one time keep their order
    return sorted(numbered, key=lambda row: row[1] + delays[row[1]])


def partition_of(key):
    return ord(key) % 2


def test_each_left_has_one_match_however_often_the_worker_is_killed(tmp_path):
    chance = random.Random(7)
    url, out = f"sqlite:///{tmp_path}/queue.db", tmp_path / "found"
    out.touch()
    pause = threading.Event()
    lefts, rights = rows(chance, 1500, 900), rows(chance, 1000, 900)
    end = [(key, 2000, -1) for key in "ab"]  # carries the watermark of both partitions over the last left
    with open_broker(url) as broker:
        for topic, given in (("left", lefts), ("right", rights + end)):
            broker.create_topic(topic, 2)
            with broker.producer() as producer:
                producer.send(
                    topic,
                    [NewRecord(f"{k},{at},{n}".encode(), partition=partition_of(k)) for k, at, n in given],
                )
                producer.flush()
        begun, deadline = 0, time.monotonic() + 240
        while True:
            worker = subprocess.Popen([sys.executable, "-c", WORKER, url, str(out), str(len(lefts))])
            begun += 1
            enough = out.stat().st_size + chance.randrange(600)
            try:
                while worker.poll() is None and (begun > KILLS or out.stat().st_size <= enough):
                    assert time.monotonic() < deadline
                    pause.wait(0.002)
            finally:
                worker.kill()
            if worker.wait() == 0:
                break

    found: dict[int, set[str]] = {}
    lines = out.read_text().splitlines()
    for line in lines:
        left, right = line.split()
        found.setdefault(int(left), set()).add(right)
    assert all(len(matches) == 1 for matches in found.values()), "a replay gave another match"
    columns = ["key", "at"]
    joined = pd.merge_asof(
        pd.DataFrame(lefts, columns=[*columns, "left"]).sort_values("at", kind="stable"),
        pd.DataFrame(rights, columns=[*columns, "right"]).sort_values("at", kind="stable"),
        on="at",
        by="key",
        tolerance=30,
    )
    expected = {
        int(row.left): {"-" if pd.isna(row.right) else str(int(row.right))} for row in joined.itertuples()
    }
    assert found == expected
    assert begun > 5
    assert len(lines) > len(lefts), "something was delivered again, else nothing was tested"
