"""How a writer stands to the root that it finds: is it still ours? A pure decision."""

from __future__ import annotations

from collections.abc import Container
from enum import Enum

from streamzarr.stream.record import CommitRecord


class Standing(Enum):
    """What the root that was found means for a writer."""

    OURS = "as we left it, but for what is not the writer's: attributes, or what maintenance has changed"
    COMMITTED = "a commit of ours whose answer was lost"
    SET_BACK = "an older root was put back by what knows nothing of streams"
    FENCED = "another writer has taken over, or the stream is gone, another one in its place perhaps"


def standing(found: CommitRecord | None, ours: CommitRecord, unanswered: Container[str]) -> Standing:
    """Return what the record `found` means for the writer of `ours`, the last one known to be committed.

    Parameters
    ----------
    found
        None: there is none.
    unanswered
        Ids of commits since then of which it is not known whether they were carried out.

    Examples
    --------
    >>> ours = CommitRecord(epoch=2, seq=5, rows=50, time_ns=0, writer="w", commit_id="five")
    >>> newer = CommitRecord(epoch=2, seq=6, rows=60, time_ns=0, writer="w", commit_id="six")
    >>> standing(newer, ours, {"six"}), standing(newer, ours, ())
    (<Standing.COMMITTED: ...>, <Standing.FENCED: ...>)
    """
    if found is None or found.stream != ours.stream or found.epoch > ours.epoch:
        return Standing.FENCED
    if found.epoch == ours.epoch:
        if found.commit_id == ours.commit_id:
            return Standing.OURS
        if found.commit_id in unanswered:
            return Standing.COMMITTED
    return Standing.SET_BACK if (found.epoch, found.seq) < (ours.epoch, ours.seq) else Standing.FENCED
