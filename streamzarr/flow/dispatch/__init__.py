"""Who gets which item next: dispatchers, as pure state machines.

No threads, no clock, no I/O; ``ops.dispatch`` runs one under its lock, its workers are the consumers. Your
own is a class with the six abstract methods of :class:`Dispatcher`.
"""

from streamzarr.flow.dispatch.base import Consumer, Dispatcher, Sent
from streamzarr.flow.dispatch.broadcast import broadcast
from streamzarr.flow.dispatch.demand import by_demand
from streamzarr.flow.dispatch.keys import by_key

__all__ = ["Consumer", "Dispatcher", "Sent", "broadcast", "by_demand", "by_key"]
