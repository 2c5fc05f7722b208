"""Which process may use a librdkafka client: its threads do not survive a fork."""

from __future__ import annotations

import os
from typing import Any

from streamzarr.errors import QueueError


class Handle:
    """A librdkafka client and the process that made it."""

    __slots__ = ("client", "pid")

    def __init__(self, client: Any) -> None:
        self.client = client
        self.pid = os.getpid()

    @property
    def is_here(self) -> bool:
        """Whether this process made the client."""
        return self.pid == os.getpid()

    def check(self, where: str, what: str) -> None:
        """Raise `QueueError` when another process made the client."""
        if not self.is_here:
            raise QueueError(f"{where}: this {what} belongs to process {self.pid}, not to {os.getpid()}")
