"""What happened in a simulation, step by step: to compare two runs, and to be read by a person."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple


class Entry(NamedTuple):
    """One thing that happened."""

    at: float
    """Seconds of virtual time since the simulation began."""
    who: str
    """Process and thread; ``world`` for faults that come from outside."""
    what: str
    loud: bool
    """Whether a person wants to read it: switches between threads matter only when two runs are compared."""

    def __str__(self) -> str:
        return f"{self.at:10.4f} s  {self.who:<28}  {self.what}"


@dataclass(slots=True)
class Trace:
    """Everything that happened, in order. Written by whoever holds the baton.

    Examples
    --------
    >>> trace = Trace()
    >>> trace.add(0.5, "worker-1/main", "commit jobs[0]=7: refused")
    >>> print(trace.text(10))
        0.5000 s  worker-1/main                 commit jobs[0]=7: refused
    """

    entries: list[Entry] = field(default_factory=list)

    def add(self, at: float, who: str, what: str, *, loud: bool = True) -> None:
        """Enter one thing."""
        self.entries.append(Entry(at, who, what, loud))

    def digest(self) -> str:
        """Return a hash of all entries: equal for equal runs, and else hardly ever."""
        hasher = blake2b(digest_size=8)
        for entry in self.entries:
            hasher.update(repr(entry).encode())
        return hasher.hexdigest()

    def text(self, last: int) -> str:
        """Return the last loud entries, a line each."""
        loud = [entry for entry in self.entries if entry.loud]
        lines = [str(entry) for entry in loud[-last:]]
        if len(loud) > last:
            lines.insert(0, f"    … {len(loud) - last} earlier steps")
        return "\n".join(lines)
