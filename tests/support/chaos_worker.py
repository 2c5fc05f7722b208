"""A worker that chaos may befall: what it stores is a line each, what is bad becomes a letter.

``python -m tests.support.chaos_worker BROKER TOPIC DEAD GROUP FILE``
"""

from __future__ import annotations

import os
import sys
import threading
from collections import Counter
from pathlib import Path

from streamzarr.pipeline import Batcher, Pipeline, Processors, TopicSource

SESSION = 3.0


def is_bad(offset: int) -> bool:
    """Tell whether the record at this offset becomes a letter."""
    return offset % 97 == 5 or offset % 101 == 7


class Storing(Pipeline):
    """Appends what it stores to a file that all workers share."""

    processors = Processors(concurrency=2)
    batchers = {"default": Batcher(size=50, timeout=0.1)}

    def handle_message(self, message, context):
        if message.offset % 8 == 0:
            threading.Event().wait(0.004)
        if message.offset % 97 == 5:
            raise ValueError("poison")
        return message

    def handle_batch(self, batcher, messages, info, context):
        if any(message.offset % 101 == 7 for message in messages):
            raise ValueError("cannot be stored")
        lines = "".join(f"{message.partition} {message.offset}\n" for message in messages)
        os.write(context, lines.encode())
        return messages


def command(url: str, topic: str, dead: str, group: str, path: Path) -> list[str]:
    """Return what starts a worker."""
    return [sys.executable, "-m", __spec__.name, url, topic, dead, group, str(path)]


def stored(path: Path) -> Counter[tuple[int, int]]:
    """Return how often which record, by partition and offset, was stored."""
    lines = path.read_text().splitlines() if path.exists() else []
    return Counter(
        (int(partition), int(offset)) for partition, _, offset in (x.partition(" ") for x in lines)
    )


def main() -> None:
    url, topic, dead, group, path = sys.argv[1:]
    out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    source = TopicSource(url, topics=[topic], group=group, session_timeout=SESSION)
    Storing.run(source=source, dead_letters=dead, context=out, install_signal_handlers=True)


if __name__ == "__main__":
    main()
