"""The key of a message: what keeps its order in operators that work on several at once."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from streamzarr.flow.arguments import checked, function, text
from streamzarr.flow.graph import Operator
from streamzarr.flow.ops.mapping import map_messages


@checked("ops.partition_by", fn=function, stage=text)
def partition_by(fn: Callable[[Any], Hashable], *, stage: str = "partition_by") -> Operator:
    """Give each message the key ``fn(data)``, by which ``ops.dispatch(by="key")`` and others keep its order.

    Parameters
    ----------
    fn
        Runs on the chain's thread. An exception, or a key that cannot be hashed, fails this message only.
    stage
        Its name in the failure.

    Examples
    --------
    >>> from streamzarr.flow import Demand, from_iterable, ops, run
    >>> def store(messages):
    ...     print([(message.key, message.data) for message in messages])
    >>> chain = from_iterable(["EURUSD 1.1", "BTCUSD 97000"], Demand(4)).pipe(
    ...     ops.partition_by(lambda tick: tick.split()[0]), ops.settle(store)
    ... )
    >>> run(chain).ok
    [('EURUSD', 'EURUSD 1.1'), ('BTCUSD', 'BTCUSD 97000')]
    2
    """
    return map_messages(lambda message: message.replace(key=fn(message.data)), stage=stage)
