"""GenStage and Flow on RxPY: sources that pull no more than may be in memory, operators, windows, results.

Rules (design §7) keep Rx what it is good at, composition::

    from_topic ──► ops.map ──► ops.dispatch ──► ops.settle       one thread drives the chain
        ▲                        │      ▲            │
        │                        └ threads ┘         │
        └──── Demand: credit, once out of memory ────┘

Where to find what:

* ``message``, ``delivery``, ``acknowledge``, ``chain``: what travels, and what is owed to whom.
* ``stage``, ``graph``, ``drive``, ``run``, ``results``, ``control``, ``stop``: how a chain runs and stops.
* ``demand``: credit. ``limit``, ``pausing``: partitions that stand still rather than lose messages.
* ``sources``: where messages come from, and who keeps positions.
* ``ops``, ``windows``, ``dispatch``: operators, and the pure state machines behind them.
"""

from streamzarr.flow import ops, windows
from streamzarr.flow.control import Control
from streamzarr.flow.demand import Credits, Demand, LagDemand, ManualDemand
from streamzarr.flow.dispatch.workers import Workers
from streamzarr.flow.limit import DeadLetterLimit
from streamzarr.flow.message import Batch, Failure, Message
from streamzarr.flow.ops.spill import Spill
from streamzarr.flow.pausing import Pause, PausedPartition
from streamzarr.flow.rate import Rate
from streamzarr.flow.results import aiter, iter  # noqa: A004 - what they are
from streamzarr.flow.run import run
from streamzarr.flow.running import RunReport
from streamzarr.flow.sources import (
    Blocking,
    Committer,
    Overflow,
    Refusing,
    Spilling,
    from_array,
    from_async_iterable,
    from_iterable,
    from_lines,
    from_observable,
    from_pull,
    from_topic,
    from_topic_columns,
)
from streamzarr.flow.stop import Stop
from streamzarr.flow.windows.state import WindowState

__all__ = [
    "Batch",
    "Blocking",
    "Committer",
    "Control",
    "Credits",
    "DeadLetterLimit",
    "Demand",
    "Failure",
    "LagDemand",
    "ManualDemand",
    "Message",
    "Overflow",
    "Pause",
    "PausedPartition",
    "Rate",
    "Refusing",
    "RunReport",
    "Spill",
    "Spilling",
    "Stop",
    "WindowState",
    "Workers",
    "aiter",
    "from_array",
    "from_async_iterable",
    "from_iterable",
    "from_lines",
    "from_observable",
    "from_pull",
    "from_topic",
    "from_topic_columns",
    "iter",
    "ops",
    "run",
    "windows",
]
