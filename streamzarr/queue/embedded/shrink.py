"""Giving space back to the file system: SQLite keeps what was freed in the file, for later."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path
from typing import Final

from streamzarr.errors import QueueError
from streamzarr.queue.embedded.database import Database

_log = logging.getLogger(__name__)

LEAST_FREE: Final = 1 << 20
"""Bytes that are worth the while, of pages or of the write-ahead log."""
MOST_LIVE: Final = 256 << 20
"""Bytes in use above which the file keeps its size: copying them would hold up writers for seconds."""
_PATIENCE_MS: Final = 1000
"""How long others may keep us from it; the next trimming tries again."""


def worth_shrinking(live: int, free: int) -> bool:
    """Tell whether a file with so many bytes in use and free is copied: never more than is given back.

    >>> worth_shrinking(live=1 << 20, free=40 << 20), worth_shrinking(live=2 << 20, free=1 << 20)
    (True, False)
    """
    return free >= LEAST_FREE and live <= min(free, MOST_LIVE)


def shrink(database: Database) -> None:
    """Make the file as small as what it holds, if much of it is free, and its write-ahead log empty.

    Writers wait meanwhile, readers do not. That it could not be done is logged, and no error: nothing that
    was asked for depends on it.
    """
    try:
        with database.read() as db:
            size, pages, free = (
                db.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_size", "page_count", "freelist_count")
            )
            copying = worth_shrinking(size * (pages - free), size * free)
            if copying or _log_size(database) >= LEAST_FREE:
                _compact(db, copying=copying, busy_timeout=database.busy_timeout)
    except QueueError as error:
        _log.warning("the queue's file keeps its size for now: %s", error)


def _compact(db: sqlite3.Connection, *, copying: bool, busy_timeout: float) -> None:
    db.execute(f"PRAGMA busy_timeout={_PATIENCE_MS}")
    try:
        if copying:
            db.execute("VACUUM")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        db.execute(f"PRAGMA busy_timeout={round(busy_timeout * 1000)}")


def _log_size(database: Database) -> int:
    try:
        return Path(f"{database.path}-wal").stat().st_size
    except FileNotFoundError:
        return 0
