"""What a simulation can find."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path

from streamzarr.errors import StreamzarrError


class SimulationError(StreamzarrError):
    """A simulation went wrong: what it found, in one sentence."""


class BrokenPromiseError(SimulationError):
    """One of the promises P1 to P6, or of the scenario's own, was not kept."""


class DeadlockError(SimulationError):
    """No thread can go on, and no time that is waited for will come."""


class LivelockError(SimulationError):
    """The scenario did not end within its steps or its time."""


class OvertimeError(SimulationError):
    """A run took more real time than it may: some wait, or some loop, is not simulated."""


class MistakeError(SimulationError):
    """What shall be simulated cannot be: its user has to mend it first."""


class UnsimulatedError(SimulationError):
    """Code reached past the runtime it was given, for the machine's own clock, chance or threads."""


def told(error: BaseException) -> str:
    """Return an error as one line, with the place in the code under simulation that it came from."""
    return f"{type(error).__name__}: {error}{place(traceback.extract_tb(error.__traceback__))}"


def place(frames: Sequence[traceback.FrameSummary]) -> str:
    """Return where a stack is in the code under simulation: `` (file.py:7)``."""
    here = str(Path(__file__).parent)
    outside = [frame for frame in frames if not frame.filename.startswith(here)] or frames
    return f" ({Path(outside[-1].filename).name}:{outside[-1].lineno})" if outside else ""
