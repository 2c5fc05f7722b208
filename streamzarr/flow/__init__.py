"""Demand on RxPY: sources that pull no more than may be in flight, operators, and running them.

Seven rules (design §7) keep Rx what it is good at, composition::

    from_topic ──► ops.map ──► ops.dispatch ──► ops.settle       one thread drives the chain
        ▲                        │      ▲            │
        │                        └ threads ┘         │
        └──────── Demand: credit, once settled ──────┘
"""

from streamzarr.flow import ops
from streamzarr.flow.committer import Committer
from streamzarr.flow.demand import Credits, Demand
from streamzarr.flow.lag import LagDemand
from streamzarr.flow.message import Batch, Failure, Message
from streamzarr.flow.ops.spill import Spill
from streamzarr.flow.rate import Rate
from streamzarr.flow.run import RunReport, run
from streamzarr.flow.source import from_iterable, from_pull
from streamzarr.flow.stop import Stop
from streamzarr.flow.topic import from_topic, from_topic_columns
from streamzarr.flow.workers import Workers

__all__ = [
    "Batch",
    "Committer",
    "Credits",
    "Demand",
    "Failure",
    "LagDemand",
    "Message",
    "Rate",
    "RunReport",
    "Spill",
    "Stop",
    "Workers",
    "from_iterable",
    "from_pull",
    "from_topic",
    "from_topic_columns",
    "ops",
    "run",
]
