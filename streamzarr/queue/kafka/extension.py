"""Our extension in C, where it was built and can be used."""

from __future__ import annotations

import logging
import os
from functools import cache
from types import ModuleType
from typing import Final

_INTERFACE: Final = 1
"""What the extension has to be for us; an editable install may have an older one."""

_logger = logging.getLogger("streamzarr.queue.kafka")


def extension() -> ModuleType | None:
    """Return the extension; None: it is not there, or ``STREAMZARR_NO_EXTENSIONS=1`` says to go without."""
    return None if os.environ.get("STREAMZARR_NO_EXTENSIONS", "0") not in ("", "0") else _found()


@cache
def _found() -> ModuleType | None:
    try:
        from streamzarr.queue.kafka import _intake
    except (ImportError, SystemError) as error:  # for lack of a compiler, as a rule
        why = str(error)
    else:
        if not (why := _fault(_intake)):
            return _intake
    _logger.info("records are taken message by message, which takes longer: %s", why)
    return None


def _fault(module: ModuleType) -> str:
    path = str(module.__file__)
    if getattr(module, "INTERFACE", None) != _INTERFACE:
        return f"{path} is of another version, install streamzarr again"
    try:
        is_one = ";" not in path and bool(path.encode())
    except UnicodeEncodeError:
        is_one = False
    return "" if is_one else f"librdkafka, which takes a list in UTF-8, cannot be told of {path!r}"
