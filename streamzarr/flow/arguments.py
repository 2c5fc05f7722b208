"""What public functions and classes are given: a table beside each signature says what fits.

Checks are pure functions of one value, so that every mistake is told in the same words, where it was made:
``ops.batch: size is 1.5, expected an integer of at least 1``.
"""

from __future__ import annotations

import functools
import inspect
import math
import operator
import os
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from numbers import Real
from reprlib import Repr
from typing import Any, Final, TypeAlias, TypeVar

from reactivex import Observable

from streamzarr.errors import ConfigError
from streamzarr.options import parse_bytes
from streamzarr.redact import redacted

T = TypeVar("T", bound=Callable[..., Any])

Check: TypeAlias = Callable[[Any], str | None]
"""Returns what was expected, when a value does not fit; ``None``: it fits."""


class _Shown(Repr):
    """Short, and without passwords of URLs, however deep they lie; hidden before anything is cut."""

    def repr_str(self, x: str, level: int) -> str:
        return super().repr_str(redacted(x), level)


_repr: Final = _Shown()
_repr.maxstring = _repr.maxother = 100


def checked(where: str, /, **checks: Check) -> Callable[[T], T]:
    """Return a decorator for a function, or a class, whose arguments have to fit: a check for each parameter.

    Defaults are not checked. A call that leaves out an argument, or gives one too many, is Python's to tell.

    Parameters
    ----------
    where
        What users call it, for errors.

    Raises
    ------
    TypeError
        A parameter has no check, or a check no parameter.

    Examples
    --------
    >>> @checked("ops.pick", count=integer(1), late=optional(text))
    ... def pick(count, late=None):
    ...     return count
    >>> pick(2)
    2
    >>> pick(0)
    Traceback (most recent call last):
    ...
    streamzarr.errors.ConfigError: ops.pick: count is 0, expected an integer of at least 1
    """

    def decorate(target: T) -> T:
        if inspect.isclass(target):
            target.__init__ = _checking(where, target.__init__, checks)  # type: ignore[method-assign]
            return target
        return _checking(where, target, checks)

    return decorate


def _checking(where: str, function: T, checks: dict[str, Check]) -> T:
    signature = inspect.signature(function)
    spread = {each.name for each in signature.parameters.values() if each.kind is each.VAR_KEYWORD}
    missing = set(signature.parameters) - {"self"} - spread - set(checks)
    if missing or (not spread and set(checks) - set(signature.parameters)):
        raise TypeError(f"{where}: checks of {sorted(checks)} for a function of {signature}")

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if where.startswith("ops.") and not kwargs and len(args) == 1 and isinstance(args[0], Observable):
            raise ConfigError(f"{where} was given to pipe() without a call, expected {where}(...)")
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:
            return function(*args, **kwargs)  # Python says it better
        for name in spread & given.keys():
            given |= given.pop(name)
        for name, value in given.items():
            if name in checks and (expected := checks[name](value)) is not None:
                raise ConfigError(f"{where}: {name} is {shown(value)}, expected {expected}")
        return function(*args, **kwargs)

    return call  # type: ignore[return-value]  # the same parameters


def shown(value: Any) -> str:
    """Return `value` as it may stand in an error: short, and without passwords of URLs.

    >>> shown(["kafka://me:hunter2@host"]), shown([1] * 100)
    ("['kafka://***@host']", '[1, 1, 1, 1, 1, 1, ...]')
    """
    return _repr.repr(value)


# -- checks ----------------------------------------------------------------------------------------------


def anything(value: Any) -> None:
    """Fits all."""


def optional(check: Check) -> Check:
    """Return the check of a value that may be ``None``."""

    def may_be_none(value: Any) -> str | None:
        expected = None if value is None else check(value)
        return None if expected is None else f"{expected}, or None"

    return may_be_none


def either(*checks: Check) -> Check:
    """Return the check of a value that fits one of several."""

    def any_fits(value: Any) -> str | None:
        expected = [check(value) for check in checks]
        return None if None in expected else ", or ".join(map(str, expected))

    return any_fits


def instance(kind: type | tuple[type, ...], expected: str) -> Check:
    """Return the check of an instance of `kind`."""
    return lambda value: None if isinstance(value, kind) else expected


def having(*methods: str, expected: str) -> Check:
    """Return the check of an object that has `methods`."""
    return lambda value: None if all(callable(getattr(value, name, None)) for name in methods) else expected


def one_of(*names: str) -> Check:
    """Return the check of one of several texts."""
    return lambda value: None if value in names else " or ".join(f'"{name}"' for name in names)


def integer(minimum: int) -> Check:
    """Return the check of an integer of at least `minimum`; a bool is none.

    >>> integer(1)(3), integer(1)(True)
    (None, 'an integer of at least 1')
    """

    def check(value: Any) -> str | None:
        fits = _is_integer(value) and operator.index(value) >= minimum
        return None if fits else f"an integer of at least {minimum}"

    return check


def _is_integer(value: Any) -> bool:
    try:
        operator.index(value)  # an array of numpy has the method, and may be no integer
    except TypeError:
        return False
    return not isinstance(value, bool)


def number(minimum: float | None = None, *, above: float | None = None, of: str = "a number") -> Check:
    """Return the check of a finite number of at least `minimum`, or more than `above`; a bool is none."""

    def check(value: Any) -> str | None:
        try:
            real = math.nan if isinstance(value, bool) or not isinstance(value, Real) else float(value)
        except OverflowError:
            real = math.inf
        fits = (
            math.isfinite(real) and (minimum is None or real >= minimum) and (above is None or real > above)
        )
        bound = f"at least {minimum:g}" if minimum is not None else f"more than {above:g}"
        return None if fits else f"{of}, {bound}"

    return check


def seconds(*, above: float | None = None) -> Check:
    """Return the check of a number of seconds, at least 0, or more than `above`."""
    return number(0 if above is None else None, above=above, of="a number of seconds")


def patience(value: Any) -> str | None:
    """Check how many seconds somebody waits at most: ``math.inf`` is for ever."""
    return None if value == math.inf else seconds()(value)


def nbytes(value: Any) -> str | None:
    """Check a number of bytes above 0, which may be text such as ``"64MB"``."""
    try:
        fits = (_is_integer(value) or isinstance(value, str)) and parse_bytes(value) > 0
    except ConfigError:
        fits = False
    return None if fits else "bytes, an integer of at least 1 or text such as '64MB'"


def text(value: Any) -> str | None:
    """Check text that is not empty."""
    return None if isinstance(value, str) and value.strip() else "text that is not empty"


def texts(value: Any) -> str | None:
    """Check a sequence of one or more texts."""
    fits = isinstance(value, list | tuple) and value and all(text(each) is None for each in value)
    return None if fits else "one or more of them"


def flag(value: Any) -> str | None:
    """Check a bool."""
    return None if isinstance(value, bool) else "True or False"


def function(value: Any) -> str | None:
    """Check a function that is called, not awaited.

    >>> async def later():
    ...     pass
    >>> function(len), function(3), function(later)
    (None, 'a function', 'a function that is not async: nothing would await it')
    """
    if not callable(value):
        return "a function"
    called = value if inspect.isroutine(value) or isinstance(value, functools.partial) else _call_of(value)
    if inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called):
        return "a function that is not async: nothing would await it"
    return None


def _call_of(value: Any) -> Any:
    return None if isinstance(value, type) else type(value).__call__


def functions(value: Any) -> str | None:
    """Check a list of functions, such as operators: they are taken more than once, here the first time."""
    fits = isinstance(value, Sequence) and not isinstance(value, str) and not any(map(function, value))
    return None if fits else "a list of functions"


def iterable(value: Any) -> str | None:
    """Check an iterable."""
    asynchronous = ", or from_async_iterable" if isinstance(value, AsyncIterable) else ""
    return None if isinstance(value, Iterable) else f"an iterable{asynchronous}"


def location(value: Any) -> str | None:
    """Check a path or a URL."""
    return None if isinstance(value, (str, os.PathLike)) and os.fspath(value) else "a path or a URL"


broker: Final = having(
    "consumer", "producer", "describe", expected="a Broker, as streamzarr.queue.open_broker(url) returns"
)
runtime: Final = having("now", "bell", "thread", expected="a Runtime, e.g. streamzarr.runtime.SYSTEM")
