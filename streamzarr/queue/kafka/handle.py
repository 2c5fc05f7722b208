"""librdkafka and fork: its threads do not survive it, so its handles must not be touched in a child."""

from __future__ import annotations

import ctypes
import os
from typing import Any, Final
from weakref import WeakValueDictionary

from streamzarr.errors import QueueError


class Handle:
    """A librdkafka client and the process that made it.

    Destroying a client joins its threads. In a forked child they do not exist, and the join would never
    return; so there the client is kept for ever.
    """

    __slots__ = ("__weakref__", "client", "pid")

    def __init__(self, client: Any) -> None:
        self.client = client
        self.pid = os.getpid()
        _handles[id(self)] = self

    @property
    def is_here(self) -> bool:
        """Whether this process made the client."""
        return self.pid == os.getpid()

    def check(self, where: str, what: str) -> None:
        """Raise `QueueError` when another process made the client."""
        if not self.is_here:
            raise QueueError(f"{where}: this {what} belongs to process {self.pid}, not to {os.getpid()}")


_handles: Final[WeakValueDictionary[int, Handle]] = WeakValueDictionary()


def _keep_forever() -> None:
    for handle in list(_handles.values()):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(handle.client))


os.register_at_fork(after_in_child=_keep_forever)
