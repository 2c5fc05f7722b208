"""When a writer commits by itself: a pure decision."""

from __future__ import annotations

from dataclasses import dataclass

from streamzarr.options import BYTES, check_options, option


@dataclass(frozen=True, slots=True)
class CommitPolicy:
    """Commit when as many rows, bytes or seconds have gathered; what is None does not count.

    Examples
    --------
    >>> policy = CommitPolicy(rows=1000, seconds=1.0)
    >>> policy.is_due(rows=10, nbytes=80, seconds=0.2), policy.is_due(rows=10, nbytes=80, seconds=1.5)
    (False, True)
    """

    rows: int | None = option("Rows that were appended since the last commit.", None, minimum=1)
    bytes: int | None = option("Bytes of these rows in memory.", None, minimum=1, metavar=BYTES)
    seconds: float | None = option("Time since the first of them was appended.", None, above=0)

    def __post_init__(self) -> None:
        check_options(self)

    def is_due(self, *, rows: int, nbytes: int, seconds: float) -> bool:
        """Tell whether what has gathered is to be committed."""
        return rows > 0 and (
            (self.rows is not None and rows >= self.rows)
            or (self.bytes is not None and nbytes >= self.bytes)
            or (self.seconds is not None and seconds >= self.seconds)
        )

    def seconds_left(self, *, rows: int, seconds: float) -> float | None:
        """Return in how many seconds a commit is due by the clock; None: never."""
        return None if self.seconds is None or not rows else max(0.0, self.seconds - seconds)
