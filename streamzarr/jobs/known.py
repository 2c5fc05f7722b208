"""What the register says, as a pure fold of its events: which jobs there are, and where each stands.

The topic of events is compacted by whoever ends a job (:mod:`streamzarr.jobs.compact`), and is open to
others: nothing here takes more memory than a bound, whatever it holds.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import msgspec

from streamzarr.jobs.wire import (
    Cancelled,
    Ended,
    Forgotten,
    JobEvent,
    Resumed,
    Snapshot,
    Stage,
    Submitted,
    Trimmed,
)
from streamzarr.limits import DEFAULT_LIMITS, Limits

_JOB_BYTES = 1000
_STAGE_BYTES = 700
_NO_CODECS = msgspec.Raw(b"null")


@dataclass(frozen=True, slots=True)
class JobEntry:
    """A job as the register knows it.

    In a list of jobs `submitted` has neither parameters nor codec settings, which may be large;
    :func:`streamzarr.jobs.register.find_job` returns it whole.
    """

    submitted: Submitted
    cancelled: bool = False
    ended: Ended | None = None
    offset: int = 0
    """Where in the register the job stands as it was submitted."""
    results_from: int = 0
    """Offset in the results topic before which this job has no results that still matter."""
    heard: int = 0
    """Offset in the register up to which all is known of it."""

    @property
    def done(self) -> bool:
        """Whether all is written. That is final: nothing of the job is to be read or sent any more."""
        return self.ended is not None and self.ended.state == "done"

    @property
    def wanted(self) -> bool:
        """Whether workers carry out its tasks."""
        return not self.cancelled and self.ended is None


@dataclass(slots=True)
class KnownJobs:
    """All jobs, oldest first, and what compactions said; changed only by :meth:`fold`."""

    limits: Limits = DEFAULT_LIMITS
    entries: dict[str, JobEntry] = field(default_factory=dict)
    horizon: str = ""
    """Greatest id of all jobs that were left out by a compaction."""
    results: int = 0
    """Offset in the results topic before which only jobs that are done have results."""
    heard: int = 0
    """Offset in the register up to which all is taken in."""
    whole: bool = True
    """False when the topic's beginning was removed and no snapshot takes its place."""
    _copies: dict[str, JobEntry] = field(default_factory=dict)
    _nbytes: int = 0

    def fold(self, offset: int, event: JobEvent) -> None:
        """Take one event into account; what it says of unknown jobs is ignored."""
        self.heard = offset + 1
        match event:
            case Submitted(copy=True):
                self._add(self._copies, offset, event)
            case Submitted():
                self._add(self.entries, offset, event)
            case Trimmed():
                self.results = max(self.results, event.results)
            case Snapshot():
                if event.at == offset:
                    self._restore(event)
            case Forgotten():
                if event.job in self.entries:
                    self.leave_out(event.job)
            case Cancelled() | Resumed() | Ended():
                entry = self.entries.get(event.job)
                if entry is not None and not entry.done and not is_late(event, cancelled=entry.cancelled):
                    self.entries[event.job] = replace(
                        entry,
                        cancelled=isinstance(event, Cancelled),
                        ended=event if isinstance(event, Ended) else None,
                    )

    def leave_out(self, job: str) -> None:
        """Know this job no more."""
        self._nbytes -= _cost(self.entries.pop(job))
        self.horizon = max(self.horizon, job)

    def jobs(self) -> dict[str, JobEntry]:
        """Return the jobs, oldest first."""
        return {
            id_: replace(
                entry,
                results_from=max(entry.submitted.results_from, self.results),
                heard=max(self.heard, entry.offset),
            )
            for id_, entry in self.entries.items()
        }

    def _add(self, entries: dict[str, JobEntry], offset: int, event: Submitted) -> None:
        known = self.entries.get(event.job)
        if known is not None:
            if event.copy:  # the original will be removed
                self.entries[event.job] = replace(known, offset=offset)
            return
        entry = JobEntry(_slim(event), offset=offset)
        self._nbytes += _cost(entry) - (_cost(entries[event.job]) if event.job in entries else 0)
        entries[event.job] = entry
        while self._nbytes > self.limits.max_register_bytes:
            oldest = self._copies if self._copies else self.entries
            self._nbytes -= _cost(oldest.pop(next(iter(oldest))))

    def _restore(self, snapshot: Snapshot) -> None:
        """Make everything what the snapshot says; it names no job whose copy is not before it."""
        known = {**self._copies, **self.entries}
        cancelled = set(snapshot.cancelled)
        ended = {event.job: event for event in snapshot.ended}
        named = {*snapshot.open, *cancelled, *ended}
        order = [id_ for id_ in known if id_ in named]
        self.entries = {
            id_: replace(known[id_], cancelled=id_ in cancelled, ended=ended.get(id_)) for id_ in order
        }
        self._copies = {}
        self._nbytes = sum(map(_cost, self.entries.values()))
        self.horizon = max(self.horizon, snapshot.horizon)
        self.results = max(self.results, snapshot.results)
        self.whole = True

    def snapshot(self, at: int) -> Snapshot:
        """Return what stands at offset `at` for all this."""
        return Snapshot(
            at=at,
            horizon=self.horizon,
            results=self.results,
            open=tuple(id_ for id_, entry in self.entries.items() if entry.wanted),
            cancelled=tuple(id_ for id_, entry in self.entries.items() if entry.cancelled),
            ended=tuple(entry.ended for entry in self.entries.values() if entry.ended is not None),
        )


def is_late(event: Cancelled | Resumed | Ended, *, cancelled: bool) -> bool:
    """Tell whether a driver has entered this end of a job that it had not yet heard is cancelled.

    What is left is not to be done, whether it is dead or not; but a job of which all is written is over.
    """
    return cancelled and isinstance(event, Ended) and event.state == "incomplete"


def _slim(submitted: Submitted) -> Submitted:
    """Return `submitted` without what only its tasks need, nor the record that it was decoded from."""
    stages = tuple(_slim_stage(stage) for stage in submitted.stages)
    return msgspec.structs.replace(submitted, stages=stages, copy=False)


def _slim_stage(stage: Stage) -> Stage:
    layout = msgspec.structs.replace(stage.layout, codecs=_NO_CODECS)
    return msgspec.structs.replace(stage, params={}, layout=layout)


def _cost(entry: JobEntry) -> int:
    """Return about how many bytes of memory an entry takes, at most."""
    stages = entry.submitted.stages
    text = sum(4 * (len(stage.source) + len(stage.target) + len(stage.transform or "")) for stage in stages)
    axes = sum(4 * len(stage.layout.shape) for stage in stages)
    return _JOB_BYTES + _STAGE_BYTES * len(stages) + text + 40 * axes
