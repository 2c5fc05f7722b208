"""Making a ZIP archive in one step: values gather in a directory beside it, then take its place packed."""

from __future__ import annotations

import fcntl
import os
import shutil
import zipfile
from collections.abc import Iterable
from pathlib import Path
from tempfile import mkdtemp
from types import TracebackType
from typing import NoReturn

from streamzarr.errors import StoreError, UnsupportedError
from streamzarr.stores.base import BytesLike
from streamzarr.stores.directories import OPEN_DIRECTORY
from streamzarr.stores.local import LocalStore
from streamzarr.stores.replace import TEMP_PREFIX, TempFile, locked

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest a ZIP archive knows: equal values give equal archives


class ZipBuilder(LocalStore):
    """A store to fill, whose values become the archive at `path` when it is closed.

    Until then they can be read, replaced and deleted, and other processes can write some through :attr:`url`.
    :meth:`close` packs them uncompressed, in order of their keys, and puts the archive in place by rename,
    durable; readers see the old one until then. An exception in a ``with`` block discards them instead, as
    :meth:`discard` does. What killed builders left is removed by the next one in the same directory.

    ``close`` and ``discard`` belong to one thread; otherwise as :class:`~streamzarr.stores.LocalStore`.

    Examples
    --------
    >>> import tempfile
    >>> from streamzarr.stores import ZipStore
    >>> path = tempfile.mkdtemp() + "/a.zip"
    >>> with ZipBuilder(path) as store:
    ...     etag = store.put("zarr.json", b"{}")
    >>> list(ZipStore(path).list())
    ['zarr.json']
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.realpath(path)
        self._place, self._name = os.path.split(self.path)
        try:
            _collect(self._place)
            self._staging = mkdtemp(prefix=TEMP_PREFIX, dir=self._place)
            self._alive = os.open(self._staging, OPEN_DIRECTORY)
            fcntl.flock(self._alive, fcntl.LOCK_EX)
        except OSError as error:
            raise self._cannot_build(error) from error
        super().__init__(f"{self._staging}/values", fsync=False)
        self._open = True

    def put(
        self, key: str, data: BytesLike, *, if_match: str | None = None, if_none_match: bool = False
    ) -> str:
        """Write one value; raises ``UnsupportedError`` after :meth:`close` or :meth:`discard`."""
        self._check_open()
        return super().put(key, data, if_match=if_match, if_none_match=if_none_match)

    def put_many(self, items: Iterable[tuple[str, BytesLike]]) -> None:
        """Write several values; raises ``UnsupportedError`` after :meth:`close` or :meth:`discard`."""
        self._check_open()
        super().put_many(items)

    def close(self) -> None:
        """Pack the values into the archive and put it in place. Idempotent."""
        if not self._open:
            return
        try:
            directory = os.open(self._place, OPEN_DIRECTORY)
            try:
                temp = TempFile(directory)
                try:
                    self._pack(temp)
                    temp.sync()
                    with locked(directory, exclusive=False):
                        temp.rename(self._name)
                finally:
                    temp.close()
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise self._cannot_build(error) from error
        self.discard()

    def discard(self) -> None:
        """Throw the values away; what is at the path stays as it is. Idempotent."""
        if self._open:
            self._open = False
            shutil.rmtree(self._staging)
            os.close(self._alive)

    def _pack(self, temp: TempFile) -> None:
        with temp.open() as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for key in sorted(self.list()):
                member = zipfile.ZipInfo(key, _EPOCH)
                source = Path(self.root, key)
                member.file_size = source.stat().st_size  # decides whether the member needs ZIP64
                with source.open("rb") as values, archive.open(member, "w") as packed:
                    shutil.copyfileobj(values, packed, 1 << 20)

    def _check_open(self) -> None:
        if not self._open:
            raise UnsupportedError(f"{self.path}: the builder is closed; a new one replaces the archive")

    def _cannot_build(self, error: OSError) -> StoreError:
        return StoreError(f"cannot build the archive {self.path}: {error.strerror or error}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.discard()

    def __repr__(self) -> str:
        return f"ZipBuilder({self.path!r})"

    def __reduce__(self) -> NoReturn:
        raise UnsupportedError(f"{self.path}: a builder belongs to one process; send others its url instead")


def _collect(place: str) -> None:
    """Remove the directories in `place` of builders that were killed; they hold no lock any more."""
    for staging in Path(place).glob(f"{TEMP_PREFIX}*/"):
        try:
            fd = os.open(staging, OPEN_DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(staging)
        except BlockingIOError:
            continue
        finally:
            os.close(fd)
