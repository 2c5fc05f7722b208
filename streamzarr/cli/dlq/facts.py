"""What a letter tells, for tables and for scripts."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

from streamzarr.cli.output import age
from streamzarr.errors import StreamzarrError
from streamzarr.runtime import SYSTEM

if TYPE_CHECKING:
    from streamzarr.queue import DeadLetter


def facts_of(letter: DeadLetter, number: int | str) -> dict[str, Any]:
    """Return what any letter tells."""
    return {
        "number": number,
        "error": letter.error_class,
        "message": letter.message,
        "stage": letter.stage,
        "attempts": letter.attempts,
        "first_seen": letter.first_seen,
        "worker": letter.worker,
        "feed": letter.feed,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "timestamp": letter.timestamp,
    }


def task_facts(letter: DeadLetter) -> dict[str, Any]:
    """Return what the letter of a job tells beside; the task's parts are None where it cannot be read."""
    from streamzarr.jobs.wire import decode_stage, decode_task

    facts: dict[str, Any] = {
        "job": header(letter, "streamzarr.job"),
        "task": header(letter, "streamzarr.task"),
        "source": None,
        "target": None,
        "target_chunk": None,
        "chunks": None,
    }
    try:
        task = decode_task(letter.value)
        stage = decode_stage(task.stage)
    except StreamzarrError:
        return facts  # not a task: that is why it is here
    return {
        **facts,
        "source": stage.source,
        "target": stage.target,
        "target_chunk": list(task.chunk),
        "chunks": task.count,
    }


def content(letter: DeadLetter) -> dict[str, Any]:
    """Return key, value and headers, such that nothing is lost: what is not UTF-8 as ``{"base64": ...}``."""
    return {
        "key": exact(letter.key),
        "value": exact(letter.value),
        "headers": [[name, exact(value)] for name, value in letter.headers],
    }


def exact(data: bytes | None) -> str | dict[str, str] | None:
    r"""Return bytes as text, or as ``{"base64": text}``.

    >>> exact(b"EURUSD"), exact(b"\xff"), exact(None)
    ('EURUSD', {'base64': '/w=='}, None)
    """
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(data).decode()}


def header(letter: DeadLetter, name: str) -> str:
    """Return a header as text."""
    return dict(letter.headers).get(name, b"").decode("utf-8", "backslashreplace")


def written_by(facts: dict[str, Any]) -> str:
    """Name the chunks that a task writes; nothing where it cannot be read."""
    first, count = facts["target_chunk"], facts["chunks"]
    if first is None:
        return ""
    return f"chunk {first}" if count == 1 else f"{count} chunks from {first}"


def first_line(text: str) -> str:
    """Return the first line of a text, cut."""
    line = text.partition("\n")[0]
    return line if len(line) <= 100 else f"{line[:99]}…"


def when(timestamp: int) -> str:
    """Return a time in milliseconds as text."""
    import numpy as np  # its calendar has no last year: a timestamp is whatever its sender wrote

    return str(np.datetime64(timestamp // 1000, "s")).replace("T", " ") + " UTC"


def ago(timestamp: int) -> str:
    """Return how long ago a time in milliseconds was."""
    return age(SYSTEM.wall_ns() / 1e9 - timestamp / 1000)
