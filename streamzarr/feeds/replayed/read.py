"""Rows of a partition with those that were replayed in their places."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from streamzarr.errors import NodeNotFoundError
from streamzarr.feeds.replayed.names import PLACE, RECORD
from streamzarr.feeds.replayed.stream import replayed_path
from streamzarr.feeds.target import facts_of
from streamzarr.stream import Snapshot, open_stream


def replayed_of(part: Snapshot) -> Snapshot | None:
    """Return the rows of a partition that came by a replay; None: there are none."""
    try:
        return open_stream(part.view.store, replayed_path(part.view.path))
    except NodeNotFoundError:
        return None


@dataclass(frozen=True, slots=True, eq=False)
class Replays:
    """Records that have their rows by a replay: the offsets at which they failed, and came again."""

    failed: npt.NDArray[np.int64]
    again: npt.NDArray[np.int64]

    @classmethod
    def of(cls, streams: Iterable[Snapshot]) -> Replays:
        """Return those of partitions, or of the targets of one."""
        found = [late for each in streams if (late := replayed_of(each)) is not None]
        none = np.empty(0, np.int64)
        return cls(
            np.unique(np.concatenate([none, *(each[PLACE][:] for each in found)])),
            np.unique(np.concatenate([none, *(each[RECORD][:] for each in found)])),
        )


NO_REPLAYS: Final = Replays.of(())


def read_in_place(part: Snapshot, names: Sequence[str] | None = None) -> dict[str, npt.NDArray[Any]]:
    """Return the rows of a partition of a log, in memory, as they would be had no record failed at first.

    Each row that was replayed stands where its record was, and has the offset that it had then.

    Parameters
    ----------
    part
        As ``open_streams`` gives it.
    names
        The fields; None: all.

    Raises
    ------
    streamzarr.errors.ConfigError
        No feed wrote it.
    """
    offset = facts_of(part).offset
    chosen = [*dict.fromkeys([*(part.names if names is None else names), offset])]
    rows, late = part.to_numpy(chosen), replayed_of(part)
    if late is not None and late.rows:
        places = late[PLACE][:].astype(rows[offset].dtype)
        more = {**late.to_numpy([name for name in chosen if name != offset]), offset: places}
        order = np.argsort(np.concatenate([rows[offset], places]), kind="stable")
        rows = {name: np.concatenate([values, more[name]])[order] for name, values in rows.items()}
    return {name: rows[name] for name in (part.names if names is None else names)}
