"""Settings of this process: the format of what is created, and the threads of one read or write."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from streamzarr.errors import ConfigError

ZarrFormat: TypeAlias = Literal[2, 3]


@dataclass(frozen=True, slots=True)
class Settings:
    """The values at one time."""

    default_zarr_format: ZarrFormat = 3
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.default_zarr_format not in (2, 3):
            raise ConfigError(f"default_zarr_format: expected 2 or 3, got {self.default_zarr_format!r}")
        if self.threads is None:
            return
        if isinstance(self.threads, bool) or not isinstance(self.threads, int) or self.threads < 1:
            raise ConfigError(f"threads: expected None or an integer from 1 on, got {self.threads!r}")


class Config:
    """Settings that every thread of the process sees; ``sz.config`` is the only one. Thread-safe.

    Examples
    --------
    >>> import streamzarr as sz
    >>> with sz.config.set(default_zarr_format=2, threads=1):
    ...     sz.create_array("memory://", shape=3, dtype="i4").zarr_format
    2
    >>> sz.config.default_zarr_format
    3
    """

    def __init__(self) -> None:
        self._settings = Settings()
        self._lock = threading.Lock()

    @property
    def default_zarr_format(self) -> ZarrFormat:
        """The format of arrays and groups that are created where no ``zarr_format`` is given."""
        return self._settings.default_zarr_format

    @property
    def threads(self) -> int | None:
        """Threads that may decode, encode and read files at a time for one call; None: one per CPU.

        Requests to an object store are no work for a CPU and have a number of their own.
        """
        return self._settings.threads

    def set(self, **settings: Any) -> AbstractContextManager[None]:
        """Change settings from now on; as a context manager, until its end.

        Raises
        ------
        streamzarr.errors.ConfigError
            There is no such setting, or it cannot have that value.
        """
        if unknown := settings.keys() - Settings.__dataclass_fields__.keys():
            known = ", ".join(Settings.__dataclass_fields__)
            raise ConfigError(f"config: unknown setting {sorted(unknown)[0]!r}; known: {known}")
        with self._lock:
            before = {name: getattr(self._settings, name) for name in settings}
            self._settings = replace(self._settings, **settings)
        return self._restoring(before)

    @contextmanager
    def _restoring(self, before: dict[str, Any]) -> Iterator[None]:
        try:
            yield
        finally:
            self.set(**before)


config = Config()


def format_of_new(zarr_format: ZarrFormat | None) -> ZarrFormat:
    """Return the format to create something in; None stands for the default."""
    return config.default_zarr_format if zarr_format is None else zarr_format
