"""The directories of a local store: found, made durably, walked, and never left through a symbolic link."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeAlias

from streamzarr.errors import UnsupportedError
from streamzarr.stores.key import is_key
from streamzarr.stores.replace import TEMP_PREFIX

Kind: TypeAlias = Literal["value", "directory", "temporary", "strange"]
"""What an entry of a directory is to the store; a link is what it leads to, if that is inside."""

OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# O_NOFOLLOW: a link is looked at before it is followed. O_NONBLOCK: a pipe in the tree hangs no reader.
OPEN_VALUE = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

MAX_KNOWN_DIRECTORIES = 1 << 16
"""Directories remembered as checked; a bound on memory, about 10 MB."""


class Directories:
    """Directories below `root`, by their path relative to it (``""`` is the root).

    A directory is checked once and then remembered, so that a read costs one ``open``. This guards against
    links that lie in a tree one was given; it cannot stop someone who exchanges directories while we run.
    Thread-safe: the sets only ever hold true statements, and a lost update costs one check.
    """

    def __init__(self, root: str, *, fsync: bool) -> None:
        self.root = os.path.realpath(root)
        self._base = self.root.rstrip("/") + "/"
        self._fsync = fsync
        self._inside = {""}
        self._durable: set[str] = set()

    def path(self, key: str) -> str:
        """Return the absolute path of `key`, whose directory is known to lie inside the root."""
        parent = key.rpartition("/")[0]
        if parent not in self._inside:
            self._check(parent)
        return self._base + key

    def resolve(self, path: str) -> str:
        """Return what the absolute `path`, a symbolic link, leads to; refuse what is outside the root."""
        target = os.path.realpath(path)
        if not f"{target}/".startswith(self._base):
            raise UnsupportedError(
                f"{self.root}: {path[len(self._base) :]!r} is a symbolic link to {target!r}, "
                "outside the store; open that place as a store of its own"
            )
        return target

    def is_inside(self, path: str) -> bool:
        """Tell whether the absolute `path` leads to a place inside the root."""
        return f"{os.path.realpath(path)}/".startswith(self._base)

    def open_value(self, key: str) -> int | None:
        """Open the file of `key` for reading; ``None`` when there is none."""
        if key.rpartition("/")[0] not in self._inside:  # path() written out: every read comes here
            self._check(key.rpartition("/")[0])
        path = self._base + key
        try:
            return os.open(path, OPEN_VALUE)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
        try:
            return os.open(self.resolve(path), OPEN_VALUE)
        except FileNotFoundError:
            return None

    def open(self, directory: str) -> int:
        """Open `directory`; raises ``FileNotFoundError`` or ``NotADirectoryError``."""
        return os.open(self._directory_path(directory), OPEN_DIRECTORY)

    def is_durable(self, directory: str) -> bool:
        """Tell whether :meth:`make` has been through for `directory`."""
        return directory in self._durable

    def make(self, directory: str) -> bool:
        """Make `directory` and its parents where missing, each durable in its parent.

        The parent is synced even if the directory was there: whoever made it may not have come so far.

        Returns
        -------
        bool
            It was not there, so nothing lies in it.
        """
        made = False
        if not directory:
            _make_durable(self.root, fsync=self._fsync)
        else:
            parent = directory.rpartition("/")[0]
            if parent not in self._durable:
                self.make(parent)
            made = _make_in(self._base + directory, fsync=self._fsync)
            if made and parent in self._inside:
                self._remember(directory)
            else:
                self._check(directory)
        self._bound(self._durable)
        self._durable.add(directory)
        return made

    def forget(self) -> None:
        """Check everything again: a directory has been removed behind our back."""
        self._inside = {""}
        self._durable = set()

    def prune(self, directory: str) -> None:
        """Remove `directory` and its parents as far as they are empty; never the root."""
        while directory:
            try:
                Path(self._base + directory).rmdir()
            except OSError:  # not empty, already gone, or not ours: it then simply stays
                return
            self._inside.discard(directory)
            self._durable.discard(directory)
            directory = directory.rpartition("/")[0]

    def walk(self, directory: str) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
        """Yield every directory from `directory` down with its entries, parents first.

        Symbolic links are not followed, and what vanishes meanwhile is left out.
        """
        pending = [directory]
        while pending:
            current = pending.pop()
            entries = self.entries(current)
            yield current, entries
            start = f"{current}/" if current else ""
            pending += [start + entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]

    def climb(self, directory: str) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
        """Yield every directory from `directory` down with its entries, children first; else as `walk`."""
        entries = self.entries(directory)
        start = f"{directory}/" if directory else ""
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from self.climb(start + entry.name)
        yield directory, entries

    def holding(self, directory: str, prefix: str) -> Iterator[tuple[str, int]]:
        """Yield every directory from `directory` down that holds such a name, and it open; parents first.

        As `walk`, but it keeps no entries: a directory may hold millions.
        """
        pending = [directory]
        while pending:
            current = pending.pop()
            start, holds = f"{current}/" if current else "", False
            try:
                with os.scandir(self._directory_path(current)) as found:
                    for entry in found:
                        holds = holds or entry.name.startswith(prefix)
                        if entry.is_dir(follow_symlinks=False):
                            pending.append(start + entry.name)
            except (FileNotFoundError, NotADirectoryError):
                continue
            if holds:
                with suppress(FileNotFoundError, NotADirectoryError):
                    opened = self.open(current)
                    try:
                        yield current, opened
                    finally:
                        os.close(opened)

    def entries(self, directory: str) -> list[os.DirEntry[str]]:
        """Return what lies directly in `directory`; nothing when it is no directory."""
        try:
            with os.scandir(self._directory_path(directory)) as found:
                return list(found)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def kind(self, start: str, entry: os.DirEntry[str]) -> Kind:
        """Return what `entry` is, which lies in the directory whose keys begin with `start`."""
        if entry.name.startswith(TEMP_PREFIX):
            return "temporary"
        if not is_key(start + entry.name):
            return "strange"
        if entry.is_symlink():
            target = Path(entry.path)
            inside = self.is_inside(entry.path) and not self._is_behind_link(start)
            is_file, is_directory = inside and target.is_file(), inside and target.is_dir()
        else:  # what the directory itself says, without a stat
            is_file, is_directory = entry.is_file(follow_symlinks=False), entry.is_dir(follow_symlinks=False)
        return "value" if is_file else "directory" if is_directory else "strange"

    def _is_behind_link(self, start: str) -> bool:
        """Tell whether a directory was come to by a link; those in it are not listed, so that circles end."""
        path = self._base + start.rstrip("/")
        return os.path.realpath(path) != path.rstrip("/")

    def is_link(self, directory: str) -> bool:
        """Tell whether `directory` is a symbolic link."""
        return bool(directory) and Path(self.path(directory)).is_symlink()

    def unlink(self, directory: str) -> None:
        """Remove `directory` if it is a link to a place inside; what it leads to stays."""
        if self.is_link(directory):
            path = self.path(directory)
            self.resolve(path)
            Path(path).unlink(missing_ok=True)
            self.forget()

    def _directory_path(self, directory: str) -> str:
        if directory not in self._inside:
            self._check(directory)
        return self._base + directory

    def _check(self, directory: str) -> None:
        """Remember `directory` when it is there and inside the root; refuse it when it is outside."""
        parent = directory.rpartition("/")[0]
        if parent not in self._inside:
            self._check(parent)
        path = self._base + directory
        try:
            mode = os.lstat(path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return
        if stat.S_ISLNK(mode):
            self.resolve(path)
        self._remember(directory)

    def _remember(self, directory: str) -> None:
        self._bound(self._inside)
        self._inside.add(directory)

    @staticmethod
    def _bound(known: set[str]) -> None:
        if len(known) >= MAX_KNOWN_DIRECTORIES:
            known.clear()
            known.add("")


def sync_directory(path: str) -> None:
    """Make the entries of the directory `path` durable."""
    fd = os.open(path, OPEN_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _make_in(path: str, *, fsync: bool) -> bool:
    """Make a directory, durable in its parent; tell whether it was not there."""
    made = True
    try:
        os.mkdir(path)  # noqa: PTH102 - many chunks have a directory of their own
    except FileExistsError:
        made = False
    if fsync:
        sync_directory(os.path.dirname(path))
    return made


def _make_durable(path: str, *, fsync: bool) -> None:
    if Path(path).is_dir():
        return
    _make_durable(os.path.dirname(path), fsync=fsync)
    _make_in(path, fsync=fsync)
