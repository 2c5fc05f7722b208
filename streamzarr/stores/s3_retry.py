"""Which refusals of a change are worth a second try, where botocore has no rule for it."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import TypeVar

from streamzarr.stores.s3_client import S3Client, code_of, status_of

T = TypeVar("T")

MAX_TRIES = 6
"""Tries where botocore has none of its own: conflicts, an answer cut off while its body is read."""
MAX_DENIED = 4
"""Tries of a put that is denied by a server other than AWS: 0.35 s until a real refusal is reported."""


def until_judged(client: S3Client, errors: tuple[type[Exception], ...], request: Callable[[], T]) -> T:
    """Carry out a request that changes a value, again while its refusal says nothing about the request.

    AWS answers 409 when another request for the key was under way (``ConditionalRequestConflict``,
    ``OperationAborted``), versitygw when a directory that it was about to use has been pruned. MinIO says in
    the same case that access is denied, if it could not make the directory, or that the body is incomplete,
    if it could not rename into it (``renameAll`` in its ``os-reliable.go``, ``putObject``); nothing has been
    written then.
    """
    for attempt in range(MAX_TRIES - 1):
        try:
            return request()
        except errors as error:
            if not _may_pass(client, error, attempt):
                raise
            pause(attempt)
    return request()


def _may_pass(client: S3Client, error: Exception, attempt: int) -> bool:
    if code_of(error) == "AccessDenied":
        renames = getattr(error, "operation_name", "") in ("PutObject", "CompleteMultipartUpload")
        return renames and not client.is_aws and attempt < MAX_DENIED - 1
    return status_of(error) == 409 or code_of(error) == "IncompleteBody"


def pause(attempt: int) -> None:
    """Wait before try `attempt` + 1: up to 0.1 s, doubling, at random so that rivals come apart."""
    threading.Event().wait(random.uniform(0, 0.1 * 2**attempt))
