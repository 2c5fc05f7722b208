"""A process that runs a feed until something ends it, for tests that kill and stop it."""

from __future__ import annotations

import os
import signal
from multiprocessing.connection import Connection
from typing import Any

from streamzarr.errors import FencedError
from streamzarr.feeds import Feed, run_feed
from streamzarr.flow import Stop
from streamzarr.stream import acquire
from tests.support.deadly import arm

FENCED = 3
"""Exit code of a worker that lost a partition to a late member; it takes it back when it starts anew."""


def live(told: dict[str, Any], ready: Connection, point: str = "", nth: int = 0) -> None:
    """Ingest until SIGTERM; with `point` the process kills itself as it gets there for the `nth` time.

    It closes `ready` once SIGTERM no longer ends it: no supervisor has held the signal back until then.
    """
    stop = Stop()
    signal.signal(signal.SIGTERM, lambda *_: stop.drain(10))
    ready.close()
    arm(point, nth)
    feed = Feed.of(told)
    acquire._probed.add(f"file://{feed.url}")  # asking a store costs more than all else here
    try:
        run_feed(feed, stop=stop)
    except FencedError:
        os._exit(FENCED)
