"""Import and call a worker's target, and turn how it ended into an exit code and last words."""

from __future__ import annotations

import importlib
import inspect
import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any

from streamzarr.errors import ConfigError, describe
from streamzarr.supervisor.protocol import EXIT_CONFIG, EXIT_ERROR, one_line
from streamzarr.supervisor.supervision import Supervision

_logger = logging.getLogger(__name__)


def load_target(target: str, config: Mapping[str, Any]) -> Callable[..., object]:
    """Import ``"package.module:function"`` and check that it takes `config`.

    Raises
    ------
    ConfigError
        It cannot be imported, is not there, cannot be called, or does not take these arguments.

    Examples
    --------
    >>> load_target("operator:nothing", {})
    Traceback (most recent call last):
    ...
    streamzarr.errors.ConfigError: worker target 'operator:nothing': module 'operator' has no 'nothing'
    """
    module_name, _, name = target.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a module may raise anything while it is imported
        reason = str(error) if isinstance(error, ModuleNotFoundError) else describe(error)
        raise ConfigError(f"worker target {target!r} cannot be imported: {reason}") from error
    try:
        function = getattr(module, name)
    except AttributeError:
        raise ConfigError(f"worker target {target!r}: module {module_name!r} has no {name!r}") from None
    if not callable(function):
        raise ConfigError(
            f"worker target {target!r} is of type {type(function).__name__}, expected a function"
        )
    try:
        inspect.signature(function).bind(None, **config)
    except TypeError as error:
        raise ConfigError(
            f"worker target {target!r} does not take (supervision, **{sorted(config)}): {error}"
        ) from None
    return function  # type: ignore[no-any-return]


def run_target(
    target: str, config: Mapping[str, Any], supervision: Supervision, say: Callable[[dict[str, Any]], None]
) -> int:
    """Call the target; return the exit code.

    An uncaught error goes with its traceback to the log, as one line to standard error, and to `say`. A
    :class:`ConfigError` is told in one sentence: it is the user's to mend, not a bug.
    """
    try:
        load_target(target, config)(supervision, **config)
        supervision.wait_drained()
    except ConfigError as error:
        return _last_words(EXIT_CONFIG, one_line(str(error)), supervision, say)
    except Exception as error:
        _logger.exception("%s: worker ended by an error", supervision.name)
        words = one_line(describe(error))
        return _last_words(EXIT_ERROR, words, supervision, say)
    return 0


def _last_words(
    exit_code: int, words: str, supervision: Supervision, say: Callable[[dict[str, Any]], None]
) -> int:
    print(words, file=sys.stderr, flush=True)  # noqa: T201  the supervisor puts the worker's name before it
    say({"error": words})
    return exit_code
