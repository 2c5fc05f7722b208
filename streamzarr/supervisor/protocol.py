"""What a supervisor and its worker say to each other: JSON lines over a socket pair, and exit codes.

To the worker: ``{"stop": seconds}``, after which it is killed. To the supervisor: ``{"ready": true}`` once,
``{"error": text}`` for an error that ends it, and ``{"ended": true}`` as the last words: a process that ends
without them was ended, by a signal or by ``os._exit``. End of file is a message too: the other side is gone.
"""

from __future__ import annotations

import json
import os
from typing import Any

EXIT_ERROR = 1
"""The target raised."""
EXIT_PAUSED = os.EX_UNAVAILABLE
"""An orderly end; but partitions paused, and somebody should look why."""
EXIT_CONFIG = os.EX_CONFIG
"""The target cannot be used as configured: starting it again would fail in the same way."""
EXIT_LATE = os.EX_TEMPFAIL
"""The worker did not come to its end within the drain deadline and cut itself off."""
EXIT_TERMINATED = 143
"""Drained because somebody other than the supervisor sent SIGTERM: 128 + 15, as shells report it."""

MAX_MESSAGE = 4000
"""Characters of an error text that are sent; a line always fits the socket buffer, so no send blocks."""


def drain_time(deadline: float) -> float:
    """Return the seconds in which to drain when the process is killed in `deadline` seconds.

    The difference is for handing back what is not done and for saying so.

    Examples
    --------
    >>> drain_time(30.0), drain_time(0.5), drain_time(0.0)
    (27.0, 0.4, 0.0)
    """
    return max(0.0, deadline - max(0.1, deadline / 10))


def encode(message: dict[str, Any]) -> bytes:
    """Encode one message as a line."""
    return json.dumps(message).encode() + b"\n"


def one_line(text: str) -> str:
    r"""Fold `text` into one line of bounded length.

    Examples
    --------
    >>> one_line("bad\n   value")
    'bad value'
    """
    folded = " ".join(text.split())
    return folded if len(folded) <= MAX_MESSAGE else folded[: MAX_MESSAGE - 1] + "…"


class Lines:
    r"""Cuts a byte stream into lines; a line longer than `longest` bytes is cut into pieces.

    Examples
    --------
    >>> lines = Lines()
    >>> lines.feed(b"one\ntw"), lines.feed(b"o\n"), lines.feed(b"rest"), lines.rest()
    (['one'], ['two'], [], ['rest'])
    """

    def __init__(self, longest: int = 1 << 16) -> None:
        self._longest = longest
        self._pending = b""

    def feed(self, data: bytes) -> list[str]:
        """Add bytes; return the lines that they completed."""
        *whole, self._pending = (self._pending + data).split(b"\n")
        while len(self._pending) > self._longest:
            whole.append(self._pending[: self._longest])
            self._pending = self._pending[self._longest :]
        return [line.decode("utf-8", "replace").rstrip("\r") for line in whole]

    def rest(self) -> list[str]:
        """Return the last line if it had no end."""
        pending, self._pending = self._pending, b""
        return [pending.decode("utf-8", "replace")] if pending else []
