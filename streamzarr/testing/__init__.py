"""The public test kit: stores that fail, wait and take notes; fakes; conformance suites.

The suites (``streamzarr.testing.stores``, ``streamzarr.testing.brokers``) and the fixtures of a real Kafka
(``streamzarr.testing.kafka``) need pytest, so they are imported from their modules.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from streamzarr.testing.faults import Call, Fault, FaultyStore, LatencyStore, RecordingStore, WrappedStore

if TYPE_CHECKING:
    from streamzarr.testing.broker_fake import FakeBroker as FakeBroker
    from streamzarr.testing.broker_fake import FakeConsumer as FakeConsumer
    from streamzarr.testing.clock import FakeClock as FakeClock
    from streamzarr.testing.simulation import simulate as simulate

__all__ = [
    "Call",
    "FakeBroker",
    "FakeClock",
    "FakeConsumer",
    "Fault",
    "FaultyStore",
    "LatencyStore",
    "RecordingStore",
    "WrappedStore",
    "simulate",
]

_LAZY = {
    "FakeBroker": "streamzarr.testing.broker_fake",
    "FakeClock": "streamzarr.testing.clock",
    "FakeConsumer": "streamzarr.testing.broker_fake",
    "simulate": "streamzarr.testing.simulation",
}
"""What brings the queue, or the flow and with it RxPY: imported when it is asked for."""


def __getattr__(name: str) -> Any:
    """Import what is asked for first."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
