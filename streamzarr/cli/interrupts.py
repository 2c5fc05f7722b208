"""Ctrl-C at a safe moment."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interrupt_at_a_safe_moment() -> Iterator[Callable[[], None]]:
    """Have the first Ctrl-C wait until what is yielded is called; it raises ``KeyboardInterrupt`` then.

    Raised wherever the main thread happens to be, it could leave a lock held that closing waits for. A second
    Ctrl-C does what it would have done without us. Main thread only.
    """
    pressed = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(signal.SIGINT, previous)

    def check() -> None:
        if pressed:
            raise KeyboardInterrupt

    previous = signal.signal(signal.SIGINT, note)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, previous)
