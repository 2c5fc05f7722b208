"""Lines of files, with positions to go on from."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from reactivex import Observable

from streamzarr.errors import ConfigError, LimitExceededError
from streamzarr.flow.acknowledge import Claim
from streamzarr.flow.arguments import checked, flag, integer, nbytes, optional
from streamzarr.flow.demand.credits import Credits, Room
from streamzarr.flow.drive import observe
from streamzarr.flow.graph import Graph
from streamzarr.flow.message import Batch, Message
from streamzarr.flow.sources.items import IDLE, SOURCE, Gathering
from streamzarr.flow.stop import Stop
from streamzarr.options import parse_bytes
from streamzarr.queue.base import Record, TopicPartition

MAX_LINE = 1 << 20
"""Bytes of a line, at most, where the caller does not say otherwise."""

_COMPRESSED: Final = {b"\x1f\x8b\x08": "gzip", b"\x28\xb5\x2f\xfd": "zstandard", b"\xfd7zXZ\x00": "xz"}
"""How compressed files begin, and no text does."""


class Line(NamedTuple):
    """One line of a file."""

    data: bytes
    """Without its end, ``\\n`` or ``\\r\\n``."""
    end: int
    """Where the next one begins, bytes from the start of the file."""


class LineReader:
    """Reads the lines of one file from a position on, in bounded memory.

    Parameters
    ----------
    path
        Of a local file.
    start
        Where a line begins, in bytes.
    max_line
        Bytes of a line, at most, without its end.
    growing
        Somebody may still be writing: what has no end of its own, at the end of the file, is no line yet.

    Raises
    ------
    streamzarr.errors.ConfigError
        No line begins at `start`, or the file is compressed.

    Notes
    -----
    Threads: one at a time; blocks for the disk.
    """

    def __init__(self, path: str, start: int = 0, max_line: int = MAX_LINE, *, growing: bool = False) -> None:
        self.path, self._max_line, self._position, self._growing = path, max_line, start, growing
        self._file: BinaryIO = open(path, "rb")  # noqa: SIM115 - closed by close()
        try:
            self._refuse_compressed()
            self._seek(start)
        except BaseException:
            self._file.close()
            raise

    def _refuse_compressed(self) -> None:
        begin = self._file.read(max(map(len, _COMPRESSED)))
        for signature, name in _COMPRESSED.items():
            if begin.startswith(signature):
                raise ConfigError(
                    f"{self.path} is compressed ({name}), expected lines of text; what a decompressor gives, "
                    "such as gzip.open(), goes into from_iterable"
                )

    def _seek(self, start: int) -> None:
        size = os.fstat(self._file.fileno()).st_size
        if not 0 <= start <= size:
            raise ConfigError(f"{self.path}: position {start} is outside of the file, which has {size} bytes")
        self._file.seek(max(0, start - 1))
        if start:
            before = self._file.read(1)
            if before != b"\n" and start != size:
                raise ConfigError(
                    f"{self.path}: position {start} is inside a line, expected the start of one"
                )

    def read(self) -> Line | None:
        """Return the next line; ``None`` at the end of the file.

        What has no end of its own there is a line too, unless the file is growing.

        Raises
        ------
        streamzarr.errors.LimitExceededError
            The line is longer than `max_line`.
        """
        raw = self._file.readline(self._max_line + 3)  # room for its end, and for one byte too many
        if not raw:
            return None
        ended = raw.endswith(b"\n")
        data = raw.removesuffix(b"\n").removesuffix(b"\r") if ended else raw
        if len(data) > self._max_line:
            raise LimitExceededError(
                f"{self.path}: the line at byte {self._position} is longer than max_line, "
                f"{self._max_line} bytes"
            )
        if self._growing and not ended:
            return None
        self._position += len(raw)
        return Line(data, self._position)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _paths(value: object) -> str | None:
    several = [value] if isinstance(value, (str, Path)) or not isinstance(value, Iterable) else list(value)
    fits = several and all(isinstance(path, (str, Path)) and str(path) for path in several)
    return None if fits else "a path, or several"


def _start(value: object) -> str | None:
    fits = isinstance(value, Mapping) and not any(map(integer(0), value.values()))
    return None if fits else "positions in bytes by path"


@checked(
    "from_lines",
    paths=_paths,
    start=optional(_start),
    batch=integer(1),
    max_line=nbytes,
    growing=flag,
    **SOURCE,
)
def from_lines(
    paths: str | Path | Iterable[str | Path],
    demand: Credits,
    *,
    start: Mapping[str, int] | None = None,
    batch: int = 500,
    max_line: int | str = MAX_LINE,
    growing: bool = False,
    stop: Stop | None = None,
    on_turn: Callable[[], None] | None = None,
) -> Observable[Batch]:
    r"""Emit the lines of local files as bytes, one file after the other, as many as demand allows.

    A file is a partition: ``message.record`` has its path as `topic`, and as `offset` that of the line's last
    byte, so that the position behind it, ``offset + 1``, is where the next line begins. Whoever stores
    results stores the position with them, and a restart goes on there by `start`. A file is read to the end
    that it has when the reader gets there.

    Parameters
    ----------
    paths
        One or several, in this order.
    demand
        Bounds what is in flight until ``ops.settle``.
    start
        Where to begin, in bytes, by path as given; at 0 where absent.
    batch
        Messages in one batch, at most.
    max_line
        Bytes of a line, at most: a number or such as ``"1MB"``.
    growing
        Somebody may still be writing to the files. The last line of each is then left, as long as it has no
        end of its own, to the run that goes on there; without this it is a line, ended or not.

    Raises
    ------
    streamzarr.errors.ConfigError
        By ``on_error``: no line begins where `start` says, or a file is compressed.
    streamzarr.errors.LimitExceededError
        By ``on_error``, behind the lines before it: a line is longer than `max_line`.
    OSError
        By ``on_error``: a file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from streamzarr.flow import Demand, ops, run
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     _ = file.write(b"1.5\n2.5\n3.5\n")
    ...     file.flush()
    ...     chain = from_lines(file.name, Demand(100), start={file.name: 4}).pipe(
    ...         ops.map(float),
    ...         ops.settle(lambda messages: print([(m.data, m.record.offset + 1) for m in messages])),
    ...     )
    ...     report = run(chain)
    [(2.5, 8), (3.5, 12)]
    """
    files = [str(path) for path in ([paths] if isinstance(paths, (str, Path)) else paths)]
    reader = partial(LineReader, max_line=parse_bytes(max_line), growing=growing)
    begin = dict(start or {})
    if unknown := sorted(begin.keys() - set(files)):
        raise ConfigError(f"from_lines: start: {unknown[0]!r} is not among the files to read")
    return observe(
        lambda graph: _Lines(graph, demand, files, begin, batch, reader), demand, stop=stop, on_turn=on_turn
    )


class _Lines:
    """A :class:`streamzarr.flow.drive.Source` over files; one is open at a time."""

    poll_timeout = IDLE

    def __init__(
        self,
        graph: Graph,
        credits: Credits,  # noqa: A002
        files: list[str],
        start: Mapping[str, int],
        batch: int,
        reader: Callable[[str, int], LineReader],
    ) -> None:
        self._chain, self._credits = graph.chain, credits
        self._files, self._start, self._open_reader = files, start, reader
        self._reader: LineReader | None = None
        self._claims: list[Claim] = []  # of files of which something is in flight, and of the current one
        self._gathering = Gathering(self._messages(), lambda message: message.nbytes, batch)

    def open(self) -> None:
        pass

    def pull(self, room: Room, timeout: float) -> list[Message] | None:
        return [message for message, _ in self._gathering.take(room)] or None

    def _messages(self) -> Iterator[Message]:
        for path in self._files:
            start = self._start.get(path, 0)
            self._reader = self._open_reader(path, start)
            claim = self._chain.claim(self._credits, TopicPartition(path, 0), start)
            self._claims.append(claim)
            while (line := self._reader.read()) is not None:
                yield self._message(path, line, claim)
            self.close()

    def _message(self, path: str, line: Line, claim: Claim) -> Message:
        now = self._chain.runtime.wall_ns() // 1_000_000
        return Message(
            row=Record(path, 0, line.end - 1, None, line.data, (), now),
            data=line.data,
            nbytes=len(line.data),
            first_seen=now,
            seq=self._chain.number(),
            claim=claim,
        )

    def turn(self) -> None:
        for claim in self._claims:
            claim.committed = claim.position  # whoever settles stores the position with the results
        self._claims = [claim for claim in self._claims if claim.open or claim is self._claims[-1]]

    def conclude(self) -> None:
        pass

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
