"""Watching messages pass."""

from __future__ import annotations

import logging
from collections.abc import Callable

import reactivex.operators as rx

from streamzarr.errors import describe
from streamzarr.flow.arguments import checked, function, text
from streamzarr.flow.graph import Operator
from streamzarr.flow.message import Batch, Message
from streamzarr.flow.ops.each import failed

_log = logging.getLogger(__name__)


@checked("ops.tap", fn=function, stage=text)
def tap(fn: Callable[[Message], object], *, stage: str = "tap") -> Operator:
    """Show each message to `fn`, failed ones as well, and pass it on as it is.

    Parameters
    ----------
    fn
        Runs on the chain's thread; what it returns is ignored. What it raises is logged, the first time and
        then each time their number has doubled, and changes nothing else: who watches does not decide.
    stage
        Its name in the log.

    Examples
    --------
    >>> from streamzarr.flow import Demand, from_iterable, ops, run
    >>> seen = []
    >>> chain = from_iterable("abc", Demand(2)).pipe(
    ...     ops.tap(lambda message: seen.append(message.data)), ops.settle()
    ... )
    >>> run(chain).ok, seen
    (3, ['a', 'b', 'c'])
    """
    errors = 0

    def watch(batch: Batch) -> None:
        nonlocal errors
        for message in batch.held:
            try:
                fn(message)
            except BaseException as error:  # noqa: BLE001 - who watches does not decide
                failed(message, error, stage)  # not passed on
                errors += 1
                if errors & (errors - 1) == 0:
                    _log.warning(
                        "%s: error number %d of the function that watches: %s", stage, errors, describe(error)
                    )

    return rx.do_action(watch)
