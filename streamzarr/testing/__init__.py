"""The public test kit: stores that fail, wait and take notes; fakes; conformance suites.

The suites (``streamzarr.testing.stores``, ``streamzarr.testing.brokers``) need pytest, so they are imported
from their modules.
"""

import importlib
from typing import TYPE_CHECKING, Any

from streamzarr.testing.faults import Call, Fault, FaultyStore, LatencyStore, RecordingStore, WrappedStore

if TYPE_CHECKING:
    from streamzarr.testing.pipeline import Ack as Ack
    from streamzarr.testing.pipeline import CallerAcknowledger as CallerAcknowledger
    from streamzarr.testing.pipeline import DummySource as DummySource
    from streamzarr.testing.pipeline import start as start
    from streamzarr.testing.simulation import simulate as simulate

__all__ = [
    "Ack",
    "Call",
    "CallerAcknowledger",
    "DummySource",
    "Fault",
    "FaultyStore",
    "LatencyStore",
    "RecordingStore",
    "WrappedStore",
    "simulate",
    "start",
]

_HOMES = {
    "Ack": "pipeline",
    "CallerAcknowledger": "pipeline",
    "DummySource": "pipeline",
    "simulate": "simulation",
    "start": "pipeline",
}


def __getattr__(name: str) -> Any:
    """Import what brings the flow, and with it RxPY, when it is asked for."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
