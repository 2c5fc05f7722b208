"""Replacing a file in one atomic, durable step: temp file, fsync, rename, directory fsync.

Two locks, both ``flock`` and so freed by the kernel when a process is killed, however that happens:

- on the *temp file*, exclusive, from its creation until after the rename: says that its writer lives.
  :func:`collect` removes the temp files on which nobody holds it.
- on the *directory*, around the rename: exclusive for a conditional change, so that nothing comes between
  check and rename; shared for an unconditional one. ``flock`` belongs to the open file, so threads exclude
  each other as processes do, as long as each operation opens the directory for itself.

Both are released with ``LOCK_UN`` and not by closing alone: a child forked meanwhile has the open file too.
(Nobody asks for the lock of a file that has got its name.)
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, Self

TEMP_PREFIX = ".streamzarr-tmp-"
"""Names of temp files begin with this. Keys may not hold it and listings leave it out."""

_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


def etag_of(status: os.stat_result) -> str:
    """Return the etag of a file: inode, modification time (ns) and size, in hex.

    Why it does not repeat, so that compare-and-swap cannot be fooled by A -> B -> A: two successive values of
    a key are different inodes, because the new file exists before the old one goes. An inode number can come
    back with the value after that. The kernel's own modification times advance only by the clock tick (4 ms),
    and three writes fit in a tick; so :meth:`TempFile.fill` sets the time from a clock of nanoseconds.
    Between two uses of one inode number lie at least a create, a write and a rename, which take microseconds:
    the time differs.
    """
    return f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"


_process = os.urandom(8).hex()
_numbers = itertools.count()


def _new_name() -> str:
    """Return a name that nobody else uses: forked processes differ in their id, all others by chance."""
    return f"{TEMP_PREFIX}{_process}-{os.getpid():x}-{next(_numbers):x}"


class NoLocksError(OSError):
    """The file system has no locks on directories: NFS, some of FUSE."""


class TempFile:
    """A temp file beside its target, in the directory open as `directory`. Owned by one call."""

    def __init__(self, directory: int) -> None:
        self._directory = directory
        self._pending = True
        self.name = _new_name()
        self._fd = os.open(self.name, _CREATE, 0o666, dir_fd=directory)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        except BaseException:
            self.close()
            raise

    def fill(self, data: memoryview) -> str:
        """Write `data` and return the etag that the file will have.

        Raises ``FileNotFoundError`` when :func:`collect` came between creation and lock; try again.
        """
        done = 0
        while done < len(data):  # Linux writes at most 2 GiB - 4 KiB in one call
            done += os.write(self._fd, data[done:] if done else data)
        now = time.time_ns()
        os.utime(self._fd, ns=(now, now))
        status = os.fstat(self._fd)  # the time as the file system keeps it
        if not status.st_nlink:
            raise FileNotFoundError(errno.ENOENT, "temp file was collected", self.name)
        return etag_of(status)

    def open(self) -> BinaryIO:
        """Return a file object that writes and reads here and leaves the file open when it is closed."""
        return open(self._fd, "w+b", closefd=False)

    def sync(self) -> None:
        """Make content and times durable."""
        os.fsync(self._fd)

    def rename(self, name: str) -> None:
        """Put the file in the place of `name`; the caller holds the directory's lock."""
        os.rename(self.name, name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        self._pending = False

    def close(self) -> None:
        """Remove the file unless it was renamed, and let it go."""
        try:
            if self._pending:
                os.unlink(self.name, dir_fd=self._directory)
        except FileNotFoundError:
            pass
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)
            os.close(self._fd)


class TempFiles:
    """Temp files of one batch in the directory open as `directory`. Owned by one call; see :class:`TempFile`.

    The same steps with less ceremony: one random name for all, and no etags.
    """

    def __init__(self, directory: int) -> None:
        self.directory = directory
        self._prefix = f"{_new_name()}-"
        self._files: list[int] = []
        self._names: list[str] = []
        self._renamed = 0

    def add(self, name: str, data: memoryview) -> None:
        """Write one more file, which shall be called `name`."""
        fd = os.open(f"{self._prefix}{len(self._files)}", _CREATE, 0o666, dir_fd=self.directory)
        self._names.append(name)
        self._files.append(fd)
        fcntl.flock(fd, fcntl.LOCK_EX)
        done = os.write(fd, data)
        while done < len(data):
            done += os.write(fd, data[done:])
        now = time.time_ns()
        os.utime(fd, ns=(now, now))  # what makes etags unique; see etag_of

    def sync(self) -> Iterator[str]:
        """Make content and times of each file durable, naming it before."""
        for fd, name in zip(self._files, self._names, strict=True):
            yield name
            os.fsync(fd)

    def rename(self) -> Iterator[str]:
        """Put each file in the place of its name, naming it before; the caller holds the directory's lock.

        Raises ``FileNotFoundError`` when :func:`collect` came between creation and lock; try again.
        """
        directory = self.directory
        for at, name in enumerate(self._names):
            yield name
            os.rename(f"{self._prefix}{at}", name, src_dir_fd=directory, dst_dir_fd=directory)
            self._renamed = at + 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the files that were not renamed, and let all go."""
        for at, fd in enumerate(self._files):
            if at >= self._renamed:
                with suppress(FileNotFoundError):
                    os.unlink(f"{self._prefix}{at}", dir_fd=self.directory)
                fcntl.flock(fd, fcntl.LOCK_UN)
            os.close(fd)


@contextmanager
def locked(directory: int, *, exclusive: bool) -> Iterator[None]:
    """Hold the lock of the open `directory`.

    Blocks while others hold it: for the time of a stat and a rename, unless its holder is stopped (SIGSTOP),
    then until it goes on or is killed. Raises :class:`NoLocksError`.
    """
    try:
        fcntl.flock(directory, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
    except OSError as error:
        if error.errno in (errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP):
            raise NoLocksError(error.errno, "the file system has no locks on directories") from error
        raise
    try:
        yield
    finally:
        fcntl.flock(directory, fcntl.LOCK_UN)


def collect(directory: int, name: str) -> bool:
    """Remove the temp file `name` of the open `directory` if its writer is dead; tell whether it was."""
    return _if_dead(directory, name, os.unlink)


def stale_names(directory: int) -> list[str]:
    """Return the names of the temp files of dead writers in the open `directory`."""
    return [name for name in _temp_names(directory) if _if_dead(directory, name, os.stat)]


def _if_dead(directory: int, name: str, action: Callable[..., object]) -> bool:
    """Do something with a temp file whose writer is dead; tell whether there was one."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.EISDIR, errno.ENXIO):
            return False  # gone meanwhile, or not a file that we make
        raise
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Names are never used twice: if the writer has renamed its file by now, this finds nothing.
        action(name, dir_fd=directory)
    except (BlockingIOError, FileNotFoundError):
        return False
    else:
        return True
    finally:
        os.close(fd)


def collect_remains(directory: int) -> None:
    """Remove the temp files of dead writers from the open `directory` where nothing else is left."""
    names = []
    with os.scandir(directory) as found:
        for entry in found:
            if not entry.name.startswith(TEMP_PREFIX):
                return
            names.append(entry.name)
    for name in names:
        collect(directory, name)


def collect_all(directory: int) -> int:
    """Remove the temp files of dead writers from the open `directory`; return how many."""
    return sum(collect(directory, name) for name in _temp_names(directory))


def _temp_names(directory: int) -> list[str]:
    with os.scandir(directory) as found:
        return [entry.name for entry in found if entry.name.startswith(TEMP_PREFIX)]
