"""Work at one box of chunks: its source is read at once, then each chunk is computed and written.

Values are computed on the calling thread, of one chunk at a time; as many chunks are written at once as the
target's store likes to have under way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, TypeAlias

import numpy.typing as npt

from streamzarr.errors import SourceChangedError, is_interrupt
from streamzarr.jobs.block import Box, part_within
from streamzarr.jobs.compute import compute_chunk, decoded_bytes
from streamzarr.jobs.numbering import Index, Region, chunk_region
from streamzarr.jobs.opened import Opened, TargetChangedError, UnwantedError
from streamzarr.jobs.outcome import Tell, without_values
from streamzarr.queue.retry import is_transient
from streamzarr.zarr.chunks import parallel

InFlight: TypeAlias = Callable[[Sequence[int]], AbstractContextManager[object]]
_Made: TypeAlias = tuple[int, Index, npt.NDArray[Any]]
"""Number and index of a chunk, and its values."""

_OF_THE_TASK = (SourceChangedError, TargetChangedError, UnwantedError)
"""Errors that concern all chunks of a task, whichever has met them."""


class BoxWork:
    """Carries out the chunks of one box; made for one call, on one thread, which it blocks.

    Parameters
    ----------
    tell, in_flight
        As of :class:`~streamzarr.jobs.execute.TaskExecutor`.
    confirm
        Reads the register to its end and tells whether the job's tasks are wanted.
    goes_on
        Tells the same by a reading of a moment ago.
    """

    def __init__(
        self,
        opened: Opened,
        tell: Tell,
        in_flight: InFlight,
        confirm: Callable[[], bool],
        goes_on: Callable[[], bool],
    ) -> None:
        self._opened = opened
        self._tell = tell
        self._in_flight = in_flight
        self._confirm = confirm
        self._goes_on = goes_on
        self._checked = False

    def __call__(self, box: Box) -> tuple[Box, ...]:
        """Carry out `box`; return what to carry out in its place where it cannot be read as a whole.

        What cannot be read in it may be of one chunk only: the others are not to fail with it.
        """
        try:
            with self._in_flight(box.numbers):
                values = self._opened.read(box)
        except BaseException as error:
            if not _is_of_chunks(error):
                raise
            if len(box) > 1 and not is_transient(error):
                return box.halves()
            said = without_values(error)
            for number in box.numbers:
                self._tell(number, said)
            return ()
        opened = self._opened
        whole = opened.wanted(box.region(opened.stage.layout))
        made = filter(None, map(partial(self._compute, values, whole), box.chunks))
        del values
        writers = min(len(box), opened.held.writers)
        parallel.hand_over(self._write, made, writers)
        return ()

    def _compute(self, values: npt.NDArray[Any], whole: Region, numbered: tuple[int, Index]) -> _Made | None:
        """Return what belongs at one chunk, of the `values` in `whole`; None where that failed."""
        if not self._goes_on():
            raise UnwantedError
        number, chunk = numbered
        opened = self._opened
        try:
            with self._in_flight((number,)):
                wanted = opened.wanted(chunk_region(opened.stage.layout, chunk))
                part = values if wanted == whole else values[part_within(wanted, whole)]
                try:
                    block = compute_chunk(opened.stage, part, opened.source, opened.target, chunk)
                except BaseException as error:
                    # A transform can throw whatever it likes, our errors of whole tasks too: of its chunk.
                    if is_interrupt(error):
                        raise
                    self._check()
                    self._tell(number, without_values(error))
                    return None
                self._check()
        except BaseException as error:  # noqa: BLE001 - raised by _fail(), where it is not of this chunk
            self._fail(number, error)
            return None
        return number, chunk, block

    def _check(self) -> None:
        """Look at both arrays once, before the first chunk is written or lost."""
        if not self._checked:
            self._opened.check()
            self._checked = True

    def _write(self, made: _Made) -> None:
        number, chunk, block = made
        try:
            with self._in_flight((number,)):
                self._opened.write(chunk, block, self._confirm)
        except BaseException as error:  # noqa: BLE001 - raised by _fail(), where it is not of this chunk
            self._fail(number, error)
        else:
            self._tell(number, decoded_bytes(block))

    def _fail(self, number: int, error: BaseException) -> None:
        """Tell of the error of one chunk; raise what is not of one."""
        if not _is_of_chunks(error):
            raise error
        self._tell(number, without_values(error))


def _is_of_chunks(error: BaseException) -> bool:
    """Tell whether other chunks of the task have nothing to do with an error."""
    return not (isinstance(error, _OF_THE_TASK) or is_interrupt(error))
