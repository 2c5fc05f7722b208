"""What a simulation can find."""

from __future__ import annotations

from streamzarr.errors import StreamzarrError


class SimulationError(StreamzarrError):
    """A simulation went wrong: what it found, in one sentence."""


class BrokenPromiseError(SimulationError):
    """One of the promises P1 to P6, or of the scenario's own, was not kept."""


class DeadlockError(SimulationError):
    """No thread can go on, and no time that is waited for will come."""


class LivelockError(SimulationError):
    """The scenario did not end within its steps or its time."""


class UnsimulatedError(SimulationError):
    """Code reached past the runtime it was given, for the machine's own clock, chance or threads."""
