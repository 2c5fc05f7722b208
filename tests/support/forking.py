"""A program that has librdkafka clients in every state, and forks again and again.

``python -m tests.support.forking URL FORKS``. Each child throws everything away and collects all garbage,
which its parent does not do. When a child does not end well, neither does the program.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import signal
import sys
import threading
import uuid
from typing import Any

from streamzarr.errors import QueueError, TopicNotFoundError
from streamzarr.queue import NewRecord, open_broker
from streamzarr.queue.kafka.clients import Producer

NOWHERE = "127.0.0.1:1"
CHILD_SECONDS = 30
GARBAGE = 4
"""Things of a kind: a child survives the end of a single client, as its threads' stacks are still mapped."""

_threads = threading.local()
_stop = threading.Event()


def in_use(url: str, topic: str) -> Any:
    """A member, a reader and a producer at work, and a question to a group's coordinator."""
    broker = open_broker(url)
    consumer, reader, producer = (
        broker.consumer([topic], f"{topic}-a"),
        broker.reader(topic),
        broker.producer(),
    )
    producer.send(topic, [NewRecord(b"1"), NewRecord(b"2")])
    consumer.poll(1, 0.1)
    reader.poll(1, 0.1)
    broker.committed(f"{topic}-b", topic)
    return broker, consumer, reader, producer


def classic_and_shared(url: str, topic: str) -> Any:
    """Members of the other kinds of groups."""
    broker = open_broker(f"{url}?group.protocol=classic")
    consumer, share = broker.consumer([topic], f"{topic}-c"), broker.share_consumer([topic], f"{topic}-d")
    consumer.poll(1, 0.1)
    share.poll(1, 0.1)
    return broker, consumer, share


def closed(url: str, topic: str) -> Any:
    """All of it closed, more producers than are kept idle, and the broker closed or not."""
    with open_broker(url) as broker, open_broker(url) as open_one:
        for each in in_use(url, topic)[1:]:
            each.close()
        for one in [open_one.producer() for _ in range(6)]:
            one.close()
        broker.topics()
    open_one.topics()
    return broker, open_one


def under_way(url: str, topic: str) -> Any:
    """A transaction, and records for a cluster that is not there."""
    servers = url.removeprefix("kafka://")
    writing = Producer({"bootstrap.servers": servers, "transactional.id": topic})
    writing.init_transactions(CHILD_SECONDS)
    writing.begin_transaction()
    writing.produce(topic, b"3")
    waiting = Producer({"bootstrap.servers": NOWHERE, "log_level": 0, "on_delivery": lambda *_: None})
    waiting.produce(topic, b"4")
    return writing, waiting


def garbage(url: str, topic: str) -> None:
    """Cycles that hold clients which are open."""
    for _ in range(GARBAGE):
        cycle: list[Any] = [in_use(url, topic), under_way(url, f"tx-{uuid.uuid4().hex}")]
        cycle.append(cycle)


def tracebacks(url: str, topic: str) -> None:
    """Errors, in cycles with their tracebacks, whose frames hold clients that nobody else has any more."""
    for _ in range(GARBAGE):
        with open_broker(url) as broker:
            try:
                broker.describe(f"no-{topic}")
            except TopicNotFoundError as error:
                kept: list[Any] = [error]
                kept.append(kept)
        with open_broker(f"kafka://{NOWHERE}?request_timeout=0.1") as broker:
            try:
                broker.topics()
            except QueueError as error:
                kept = [error]
                kept.append(kept)


def of_other_threads(url: str, topic: str) -> None:
    """Clients in threads' own variables, which Python clears in a child before anything else runs there."""
    ready = threading.Barrier(GARBAGE + 1)

    def run() -> None:
        _threads.mine = in_use(url, topic)
        ready.wait()
        _stop.wait()

    for _ in range(GARBAGE):
        threading.Thread(target=run, daemon=True).start()
    ready.wait()


def made_and_closed(url: str, topic: str) -> threading.Thread:
    """Another thread that makes clients and closes them all the time."""

    def run() -> None:
        while not _stop.is_set():
            with open_broker(url) as broker, broker.producer(), broker.reader(topic) as reader:
                reader.poll(1, 0.0)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def child_of(keep: list[Any], leave_at_once: bool) -> int:
    """Return the exit code of a child that throws everything away."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    signal.alarm(CHILD_SECONDS)
    keep.clear()
    gc.collect()
    if leave_at_once:
        os._exit(0)
    sys.exit(0)  # the interpreter tears everything down


def main(url: str, forks: int) -> int:
    """Return how the first child ended that did not end well, else 0."""
    faulthandler.enable()
    gc.disable()
    topic = f"forks-{uuid.uuid4().hex[:12]}"
    with open_broker(url) as broker:
        broker.create_topic(topic, 2)
    keep = [state(url, topic) for state in (in_use, classic_and_shared, closed, under_way)]
    for leave in (garbage, tracebacks, of_other_threads):
        leave(url, topic)
    busy = made_and_closed(url, topic)
    with contextlib.ExitStack() as stack:
        stack.callback(busy.join)
        stack.callback(_stop.set)
        for number in range(forks):
            if code := child_of(keep, leave_at_once=number % 2 == 0):
                return code
    broker, consumer, reader, producer = keep[0]
    producer.flush()
    for each in (consumer, reader, producer, broker):
        each.close()
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1], int(sys.argv[2]))
    os._exit(code)  # what was made to be garbage is not the matter here
