"""The public test kit: stores that fail, wait and take notes; fakes; conformance suites.

The suites (``streamzarr.testing.stores``, ``streamzarr.testing.brokers``) and the fixtures of a real Kafka
(``streamzarr.testing.kafka``) need pytest, so they are imported from their modules.
"""

import importlib
from typing import TYPE_CHECKING, Any

from streamzarr.testing.faults import Call, Fault, FaultyStore, LatencyStore, RecordingStore, WrappedStore

if TYPE_CHECKING:
    from streamzarr.testing.broker_fake import FakeBroker as FakeBroker
    from streamzarr.testing.broker_fake import FakeConsumer as FakeConsumer
    from streamzarr.testing.clock import FakeClock as FakeClock
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
    "FakeBroker",
    "FakeClock",
    "FakeConsumer",
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
    "FakeBroker": "broker_fake",
    "FakeClock": "clock",
    "FakeConsumer": "broker_fake",
    "simulate": "simulation",
    "start": "pipeline",
}


def __getattr__(name: str) -> Any:
    """Import what brings the flow, and with it RxPY, when it is asked for."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
