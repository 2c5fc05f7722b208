"""A disk that loses what was not synced: what a directory tree is after a power cut.

Python's ``os.fsync`` and ``os.open`` are watched. A file holds what it held when it was last synced, a
directory the names that it had then; nothing else survives, or with `lucky` any part of it does.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch


class PowerCut(BaseException):
    """The machine has lost its power."""


class Disk:
    """Watches the tree below `root`, which must be there.

    Parameters
    ----------
    lucky
        Called for each thing that was not synced: does it survive?
    """

    def __init__(self, root, lucky=lambda: False):
        self.root, self.lucky = Path(root), lucky
        self.syncs = 0
        self.left = None
        """Syncs until the power is cut; None: never."""
        self._names: dict[int, dict[str, int]] = {}
        self._content: dict[int, bytes] = {}
        self._open, self._fsync = os.open, os.fsync

    @contextmanager
    def watched(self):
        with patch.object(os, "fsync", self._on_fsync), patch.object(os, "open", self._on_open):
            yield

    def _on_open(self, path, flags, mode=0o777, *, dir_fd=None):
        fd = self._open(path, flags, mode, dir_fd=dir_fd)
        if flags & os.O_CREAT:
            self._content.pop(os.fstat(fd).st_ino, None)  # the number may be that of a file of the past
        return fd

    def _on_fsync(self, fd):
        self.syncs += 1
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.left = None
                raise PowerCut
        self._fsync(fd)
        status = os.fstat(fd)
        if stat.S_ISDIR(status.st_mode):
            self._names[status.st_ino] = _names(fd)
        else:
            self._content[status.st_ino] = os.pread(fd, status.st_size, 0)

    def survivors(self, target):
        """Make at `target` what is left of the tree."""
        self._copy(self.root, Path(target))

    def _copy(self, source, target):
        target.mkdir()
        there = {entry.inode(): Path(entry.path) for entry in os.scandir(source)}
        names = dict(self._names.get(source.stat().st_ino, {}))
        for name, inode in _names(source).items():
            if names.get(name) != inode and self.lucky():
                names[name] = inode
        for name, inode in names.items():
            path = there.get(inode)
            if path is not None and path.is_dir():
                self._copy(path, target / name)
            else:
                content = self._content.get(inode, b"")
                if path is not None and self.lucky():
                    content = path.read_bytes()
                (target / name).write_bytes(content)


def _names(directory):
    with os.scandir(directory) as found:
        return {entry.name: entry.inode() for entry in found}
