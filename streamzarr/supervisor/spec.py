"""What a worker process runs: a function of our own code and its configuration as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from streamzarr.errors import ConfigError

_TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """The function that each worker process calls as ``target(supervision, **config)``.

    The target comes from our own code or command line, never from a message. It is imported in a fresh
    interpreter, so the user's ``__main__`` is not run again and no ``if __name__`` guard is needed.

    Parameters
    ----------
    target
        ``"package.module:function"``.
    config
        Keyword arguments, anything JSON can carry. They travel in memory, not on the command line, so
        passwords in URLs do not show in ``ps``.
    name
        Workers are called ``name-0``, ``name-1``, ...

    Raises
    ------
    ConfigError
        Malformed target or name, or a configuration that is not JSON.

    Examples
    --------
    >>> WorkerSpec("streamzarr.jobs.worker:run", {"group": "chunks"}).name
    'worker'
    >>> WorkerSpec("os.system")
    Traceback (most recent call last):
    ...
    streamzarr.errors.ConfigError: worker target is 'os.system', expected 'package.module:function'
    """

    target: str
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    name: str = "worker"

    def __post_init__(self) -> None:
        if not isinstance(self.target, str) or not _TARGET.fullmatch(self.target):
            raise ConfigError(f"worker target is {self.target!r}, expected 'package.module:function'")
        if self.target.startswith("__main__:"):
            raise ConfigError(
                f"worker target {self.target!r} is in the running script, which workers do not import; "
                "put the function in a module"
            )
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise ConfigError(f"worker name is {self.name!r}, expected letters, digits, '.', '_' and '-'")
        try:
            carried = json.loads(json.dumps(dict(self.config)))
        except (TypeError, ValueError) as error:
            raise ConfigError(f"configuration of worker {self.name!r} is not JSON: {error}") from error
        if wrong := [key for key in self.config if not isinstance(key, str)]:
            raise ConfigError(f"configuration of worker {self.name!r} has the key {wrong[0]!r}, expected str")
        object.__setattr__(self, "config", carried)
