"""What a program takes from the machine: clocks, waiting, chance, ids and threads, as one object.

Nothing else in streamzarr reaches for Python's own, so the code that runs on a simulated machine
(``streamzarr.testing``) is the code that runs. A runtime is made at the edges (``open_broker``, ``flow.run``,
a worker's ``main``) and handed down.
"""

from streamzarr.runtime.base import Bell, Condition, Event, Local, Lock, Runtime, Thread
from streamzarr.runtime.deadline import Deadline
from streamzarr.runtime.system import SYSTEM, SystemRuntime

__all__ = [
    "SYSTEM",
    "Bell",
    "Condition",
    "Deadline",
    "Event",
    "Local",
    "Lock",
    "Runtime",
    "SystemRuntime",
    "Thread",
]
