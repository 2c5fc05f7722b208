"""Processes that kill themselves at a point of a stream's code, for tests that kill writers and feeds."""

import os
import signal
from typing import Final

from streamzarr.stores import replace
from streamzarr.stream import failpoints
from streamzarr.stream.failpoints import Failpoint

MID_RENAME: Final = "between a temp file and its name"
POINTS: Final = [*Failpoint, MID_RENAME]


def arm(point: str, nth: int) -> None:
    """Have this process killed as it gets to `point` for the `nth` time; an empty point is never reached."""
    left = nth

    def reach(reached: object) -> None:
        nonlocal left
        if str(reached) == point:
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    failpoints.hook = reach
    rename = replace.TempFile.rename

    def hurt(temp: replace.TempFile, name: str) -> None:
        reach(MID_RENAME)
        rename(temp, name)

    replace.TempFile.rename = hurt  # type: ignore[method-assign]
