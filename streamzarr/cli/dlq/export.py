"""Letters as lines, in a file that is whole or as it was."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import click


@contextmanager
def written_whole(path: str) -> Iterator[IO[str]]:
    """Open `path` for text that takes the place of what is there when all of it is written.

    Whatever goes wrong, an earlier file stays as it was. ``-`` is standard output.
    """
    target = Path(path)
    try:
        if path == "-" or (target.exists() and not target.is_file()):  # pipes, and such as /dev/null
            with click.open_file(path, "w") as file:
                yield file
                file.flush()
        else:
            yield from _beside(target.resolve())  # where a link leads to
    except OSError as error:
        if error.filename is None and error.errno not in (None, errno.EPIPE):
            error.filename = "standard output" if path == "-" else path
        raise


def _beside(target: Path) -> Iterator[IO[str]]:
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with part.open("w") as file:
            if target.exists():
                shutil.copymode(target, part)
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
