"""A disk that loses what was not synced: what a directory tree is after a power cut.

Python's ``os.fsync`` and ``os.open`` are watched. A file holds what it held when it was last synced, a
directory the names that it had then; nothing else survives, or with `lucky` any part of it does. Any thread
may use the disk.
"""

from __future__ import annotations

import os
import stat
import threading
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

_File = tuple[int, int]
"""An inode number, and the how many-th file it is of that."""


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
        self._names: dict[_File, dict[str, _File]] = {}
        self._content: dict[_File, bytes] = {}
        self._made: Counter[int] = Counter()  # files of each inode number, which come again
        self._lock = threading.Lock()
        self._open, self._fsync = os.open, os.fsync

    @contextmanager
    def watched(self):
        with patch.object(os, "fsync", self._on_fsync), patch.object(os, "open", self._on_open):
            yield

    def _on_open(self, path, flags, mode=0o777, *, dir_fd=None):
        with self._lock:
            fd = self._open(path, flags, mode, dir_fd=dir_fd)
            if flags & os.O_CREAT:
                self._made[os.fstat(fd).st_ino] += 1
        return fd

    def _on_fsync(self, fd):
        self._fsync(fd)
        with self._lock:
            self.syncs += 1
            if self.left is not None:
                self.left -= 1
                if self.left < 0:
                    raise PowerCut
            status = os.fstat(fd)
            if stat.S_ISDIR(status.st_mode):
                self._names[self._file(status.st_ino)] = self._names_in(fd)
            else:
                self._content[self._file(status.st_ino)] = os.pread(fd, status.st_size, 0)

    def _file(self, inode):
        return inode, self._made[inode]

    def _names_in(self, directory):
        with os.scandir(directory) as found:
            return {entry.name: self._file(entry.inode()) for entry in found}

    def survivors(self, target):
        """Make at `target` what is left of the tree."""
        self._copy(self.root, Path(target))

    def _copy(self, source, target):
        target.mkdir()
        there = {self._file(entry.inode()): Path(entry.path) for entry in os.scandir(source)}
        names = dict(self._names.get(self._file(source.stat().st_ino), {}))
        for name, file in self._names_in(source).items():
            if names.get(name) != file and self.lucky():
                names[name] = file
        for name, file in names.items():
            path = there.get(file)
            if path is not None and path.is_dir():
                self._copy(path, target / name)
            else:
                content = self._content.get(file, b"")
                if path is not None and self.lucky():
                    content = path.read_bytes()
                (target / name).write_bytes(content)
