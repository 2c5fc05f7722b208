"""Commands that are shown to be entered: they work as they are shown, in the shell of whoever reads them."""

from __future__ import annotations

import os
import shlex
from typing import Final

from streamzarr.redact import redacted

DEFAULT_BROKER: Final = "sqlite:///streamzarr.db"
DEFAULT_PREFIX: Final = "streamzarr"


def hint(*words: str, broker: str | None = None, prefix: str | None = None) -> str:
    """Return a command of ours between backticks, with the options it needs to find `broker` and `prefix`.

    Left out is what the environment, or a default, says anyway. A URL that holds a secret is not shown, but
    where to put it.

    Examples
    --------
    >>> hint("job", "resume", "01M7", broker="kafka://lab:9092", prefix="maps")
    '`streamzarr job resume 01M7 --broker kafka://lab:9092 --prefix maps`'
    >>> hint("job", "wait", broker="kafka://lab:9092?sasl.password=x")
    "`streamzarr job wait` with the broker's URL in STREAMZARR_BROKER"
    """
    command = ["streamzarr", *words]
    secret = broker is not None and redacted(broker) != broker
    if broker is not None and not secret and broker != _usual("STREAMZARR_BROKER", DEFAULT_BROKER):
        command += ["--broker", broker]
    if prefix is not None and prefix != _usual("STREAMZARR_PREFIX", DEFAULT_PREFIX):
        command += ["--prefix", prefix]
    return f"`{shlex.join(command)}`" + (" with the broker's URL in STREAMZARR_BROKER" if secret else "")


def _usual(variable: str, default: str) -> str:
    return os.environ.get(variable) or default
