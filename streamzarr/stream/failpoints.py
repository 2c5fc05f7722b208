"""Named places where a kill hurts most: the protocol's steps end there, and tests stop the process there.

The code calls :func:`reach` with a name; in earnest that does nothing. Tests set :data:`hook`.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum


class Failpoint(Enum):
    """Between which two steps of the protocol the writer is."""

    AFTER_ACQUIRE = "after the epoch was raised"
    AFTER_CHUNK = "between chunks of one field"
    AFTER_TAIL = "after the tail of a field was put, before the next field"
    BEFORE_ROOT = "after all chunks, before the root is replaced"
    AFTER_ROOT = "after the root was replaced, before the children"
    BETWEEN_CHILDREN = "between the documents of two fields"


hook: Callable[[Failpoint], None] | None = None
"""Called at each failpoint, on the thread that is there; None: nothing is."""


def reach(point: Failpoint) -> None:
    """Say that the writer is at `point`."""
    if hook is not None:
        hook(point)
