"""What a message may not be made of: it would break its pipeline later, where nobody knew whose it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from streamzarr.flow.arguments import shown
from streamzarr.pipeline.message import Message

_BOOLS: Final = ("waits", "acked", "recovered")
_NUMBERS: Final = ("nbytes", "attempts", "first_seen", "place", "tier")


def misfit(message: Message) -> str | None:
    """Return which field does not fit, and what was expected; ``None``: all fit.

    Examples
    --------
    >>> misfit(Message(ack_ref=["a"]))
    "ack_ref is ['a'], expected something hashable"
    >>> misfit(Message(ack_ref=("a",), flush=1))
    """
    if message.ack_ref is not None and not _works(_as_key, message.ack_ref):
        return f"ack_ref is {shown(message.ack_ref)}, expected something hashable"
    acknowledger = message.acknowledger
    if acknowledger is not None and not callable(getattr(acknowledger, "ack", None)):
        return f"acknowledger is {shown(acknowledger)}, expected an Acknowledger"
    if not _works(bool, message.flush):
        return f"flush is {shown(message.flush)}, expected true or false"
    for names, kind, expected in ((_BOOLS, bool, "True or False"), (_NUMBERS, int, "a whole number")):
        for name in names:
            if not isinstance(value := getattr(message, name), kind):
                return f"{name} is {shown(value)}, expected {expected}"
    return None


def _as_key(value: object) -> None:
    hash(value)
    [None].count(value)  # type: ignore[arg-type]  # compares


def _works(function: Callable[[object], object], value: object) -> bool:
    try:
        function(value)
    except Exception:  # noqa: BLE001 - what handlers put into messages is foreign code
        return False
    return True
