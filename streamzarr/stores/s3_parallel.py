"""Several requests to S3 under way at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

PARALLEL_REQUESTS = 8
"""Requests under way at once within one ``put_many``, ``get_ranges`` or multipart put."""


def in_parallel(action: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    """Carry out `action` on each item, a few at once; on an error start no further ones and raise it."""
    if len(items) < 2:
        return [action(item) for item in items]
    with ThreadPoolExecutor(min(PARALLEL_REQUESTS, len(items)), "streamzarr-s3") as pool:
        futures = [pool.submit(action, item) for item in items]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
