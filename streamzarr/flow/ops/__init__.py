"""Operators on batches of messages, for ``.pipe()``, beside those of RxPY.

Functions of the user see a message's `data`; hooks and sinks, which belong to the program around them, see
the :class:`~streamzarr.flow.Message`. A function that raises fails its message, whatever the exception's
class; failed messages pass all later operators untouched and end in ``settle``. The chain breaks
(``on_error``) only when the program around is at fault. Ctrl-C alone ends a program: a ``KeyboardInterrupt``
on the main thread while SIGINT has Python's own handler goes up through the chain.
"""

from streamzarr.flow.ops.batching import batch, combine
from streamzarr.flow.ops.charge import charge
from streamzarr.flow.ops.decode import decode
from streamzarr.flow.ops.departition import departition
from streamzarr.flow.ops.dispatch import dispatch
from streamzarr.flow.ops.join import join_asof
from streamzarr.flow.ops.joining import Joined
from streamzarr.flow.ops.keys import partition_by
from streamzarr.flow.ops.mapping import (
    drop_if,
    filter,  # noqa: A004 - the field's word
    map,  # noqa: A004 - the field's word
    map_batch,
    map_messages,
)
from streamzarr.flow.ops.pieces import flat_map, split
from streamzarr.flow.ops.rate import rate_limit
from streamzarr.flow.ops.reduce import reduce
from streamzarr.flow.ops.route import broadcast, route
from streamzarr.flow.ops.settle import DONE, Again, Done, Failed, Report, Sink, settle
from streamzarr.flow.ops.tapping import tap

__all__ = [
    "DONE",
    "Again",
    "Done",
    "Failed",
    "Joined",
    "Report",
    "Sink",
    "batch",
    "broadcast",
    "charge",
    "combine",
    "decode",
    "departition",
    "dispatch",
    "drop_if",
    "filter",
    "flat_map",
    "join_asof",
    "map",
    "map_batch",
    "map_messages",
    "partition_by",
    "rate_limit",
    "reduce",
    "route",
    "settle",
    "split",
    "tap",
]
