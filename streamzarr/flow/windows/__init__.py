"""Windows: which messages are reduced together, and when they give results.

Used through ``ops.reduce``; all that is here is values and pure state machines.

===============  ==========================================================================
``kinds``        :class:`Fixed`, :class:`Sliding`, :class:`Session`, :class:`Count`, ...
``moments``      event time: int64 nanoseconds
``watermark``    how far event time has come, by partition
``triggers``     early results: :class:`Every`, :class:`After`, :class:`When`
``bound``        how large the state may be
``reduction``    what ``ops.reduce`` was asked for
``panes``        the accumulators, and when they give results
                 (of ``pane``, ``shelf``, ``agenda``, ``timers``)
``result``       what a window gives
===============  ==========================================================================
"""

from streamzarr.flow.windows.bound import Bound
from streamzarr.flow.windows.kinds import Count, Fixed, Global, Periodic, Session, Sliding, Window
from streamzarr.flow.windows.result import Result
from streamzarr.flow.windows.triggers import After, Every, When

__all__ = [
    "After",
    "Bound",
    "Count",
    "Every",
    "Fixed",
    "Global",
    "Periodic",
    "Result",
    "Session",
    "Sliding",
    "When",
    "Window",
]
