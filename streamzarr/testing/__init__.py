"""The public test kit: stores that fail, wait and take notes; fakes; conformance suites.

The suites (``streamzarr.testing.stores``, ``streamzarr.testing.brokers``) need pytest, so they are imported
from their modules.
"""

from typing import TYPE_CHECKING, Any

from streamzarr.testing.faults import Call, Fault, FaultyStore, LatencyStore, RecordingStore, WrappedStore

if TYPE_CHECKING:
    from streamzarr.testing.simulation import simulate as simulate

__all__ = ["Call", "Fault", "FaultyStore", "LatencyStore", "RecordingStore", "WrappedStore", "simulate"]


def __getattr__(name: str) -> Any:
    """Import :func:`simulate` when it is asked for: it brings the flow, and with it RxPY."""
    if name == "simulate":
        from streamzarr.testing.simulation import simulate

        return simulate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
