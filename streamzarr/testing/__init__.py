"""The public test kit: stores that fail, wait and take notes; fakes; conformance suites.

The suites (``streamzarr.testing.stores``, ``streamzarr.testing.brokers``) need pytest, so they are imported
from their modules.
"""

from streamzarr.testing.faults import Call, Fault, FaultyStore, LatencyStore, RecordingStore, WrappedStore

__all__ = ["Call", "Fault", "FaultyStore", "LatencyStore", "RecordingStore", "WrappedStore"]
