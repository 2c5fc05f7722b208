"""Columns of floats, integers, integers scaled by a power of ten, and booleans."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from streamzarr.feeds.decode.kinds.base import Unfit, undecided
from streamzarr.feeds.decode.kinds.number_texts import (
    INTEGER,
    MAX_DIGITS,
    NAMED,
    NUMBER,
    floats_of,
    integers_of,
)
from streamzarr.feeds.decode.texts import Texts
from streamzarr.feeds.decode.values import Given, Narrow

EXACT: Final = 2**53
"""Below, each integer is a float of its own; this one is also the nearest float of the next."""
MOST_DECIMALS: Final = 8
"""With more of them, a decimal number that is halved between two narrow floats is looked at by itself."""
DIGITS: Final = 10**15
"""Up to here each decimal number, whatever its point, is told from the next by its nearest float."""


@dataclass(frozen=True, slots=True)
class Floats:
    """Numbers, and texts that are numbers, NaN or infinite; finite ones stay finite.

    >>> Floats(np.dtype("f4")).one("1.25")
    1.25
    """

    dtype: np.dtype[Any]

    @property
    def empty(self) -> float:  # noqa: D102
        return np.nan

    def one(self, value: Any) -> float:  # noqa: D102
        exact = self._float(value)
        with np.errstate(over="ignore"):
            held = float(self.dtype.type(exact))
        if np.isinf(held) and not np.isinf(exact):
            raise Unfit(f"a number that {self.dtype} can hold")
        return held

    def _float(self, value: Any) -> float:
        if isinstance(value, str) and len(value) <= MAX_DIGITS:
            text = value.strip()
            if (named := NAMED.get(text.lower())) is not None:
                return named
            if NUMBER.fullmatch(text):
                if np.isinf(number := float(text)):
                    raise Unfit(f"a number that {self.dtype} can hold")
                return number
        elif isinstance(value, int | float | Narrow) and not isinstance(value, bool):
            try:
                return float(value)
            except OverflowError:
                raise Unfit(f"a number that {self.dtype} can hold") from None
        raise Unfit("a number")

    def many(self, data: Given) -> tuple[NDArray[Any], NDArray[np.bool_]]:  # noqa: D102
        exact: NDArray[Any]
        if isinstance(data, Texts):
            exact, unsure = floats_of(data)
            unsure |= np.isinf(exact)
        elif isinstance(data, list):
            if set(map(type, data)) - {int, float}:
                return undecided(len(data), self.dtype)
            try:
                exact, unsure = np.array(data, "f8"), np.zeros(len(data), bool)
            except OverflowError:
                return undecided(len(data), self.dtype)
        elif data.dtype.kind in "iuf":
            exact = data if data.dtype == self.dtype else data.astype("f8", copy=False)
            unsure = np.zeros(len(data), bool)
        else:
            return undecided(len(data), self.dtype)
        if exact.dtype != self.dtype:
            with np.errstate(over="ignore"):
                held = exact.astype(self.dtype)
            unsure |= np.isinf(held) & ~np.isinf(exact)
            return held, unsure
        return exact, unsure


@dataclass(frozen=True, slots=True)
class Integers:
    """Integers in range, never wrapped; floats without a fraction below 2**53, and texts that are integers.

    >>> Integers(np.dtype("i8")).one(9007199254740993), Integers(np.dtype("i8")).one("12.00")
    (9007199254740993, 12)
    """

    dtype: np.dtype[Any]

    @property
    def empty(self) -> int:  # noqa: D102
        return 0

    @property
    def range(self) -> tuple[int, int]:
        """The least and the greatest."""
        bounds = np.iinfo(self.dtype)
        return int(bounds.min), int(bounds.max)

    def one(self, value: Any) -> int:  # noqa: D102
        number: int | None = None
        if isinstance(value, int) and not isinstance(value, bool):
            number = value
        elif isinstance(value, float | Narrow) and value.is_integer():
            if abs(float(value)) >= EXACT:
                raise Unfit("an integer, as a float beyond 2**53 is not exact")
            number = int(value)
        elif isinstance(value, str) and len(value) <= MAX_DIGITS and NUMBER.fullmatch(text := value.strip()):
            number = _whole(text)
        least, greatest = self.range
        if number is None or not least <= number <= greatest:
            raise Unfit(f"an integer from {least} to {greatest}")
        return number

    def many(self, data: Given) -> tuple[NDArray[Any], NDArray[np.bool_]]:  # noqa: D102
        unsure: NDArray[np.bool_]
        if isinstance(data, Texts):
            data, unsure = integers_of(data)
        elif isinstance(data, list):
            return undecided(len(data), self.dtype)
        elif data.dtype.kind == "f":
            with np.errstate(invalid="ignore", over="ignore"):
                data = data.astype("f8", copy=False)  # of 16 bits, nothing finite is as much as EXACT
                unsure = ~((np.rint(data) == data) & (np.abs(data) < EXACT))
            data = np.where(unsure, 0, data).astype("i8")
        elif data.dtype.kind in "iu":
            unsure = np.zeros(len(data), bool)
        else:
            return undecided(len(data), self.dtype)
        if data.dtype == self.dtype:
            return data, unsure
        least, greatest = self.range
        own = np.iinfo(data.dtype)
        if own.min < least:
            unsure |= data < least
        if own.max > greatest:
            unsure |= data > greatest
        return data.astype(self.dtype), unsure


@dataclass(frozen=True, slots=True)
class Scaled:
    """Decimal numbers times a power of ten: exact integers, whether they come as texts or as numbers.

    A float stands for the shortest decimal number that is nearest to it, up to 15 digits; a narrow one as
    far as it is told from the next number of as many decimals.

    >>> Scaled(np.dtype("i8"), 2).one("20472.80"), Scaled(np.dtype("i8"), 2).one(0.29)
    (2047280, 29)
    """

    dtype: np.dtype[Any]
    decimals: int

    @property
    def empty(self) -> int:  # noqa: D102
        return 0

    def one(self, value: Any) -> int:  # noqa: D102
        integers = Integers(self.dtype)
        if isinstance(value, bool) or not isinstance(value, int | float | str | Narrow):
            raise Unfit("a number")
        if isinstance(value, int):
            return integers.one(value * 10**self.decimals)
        text = value.strip() if isinstance(value, str) else shortest(value)
        if len(text) > MAX_DIGITS or not NUMBER.fullmatch(text):
            raise Unfit("a finite number")
        shifted = _shifted(text, self.decimals)
        if shifted is None:
            raise Unfit(f"a number that {self.dtype} can hold, and {self.decimals} decimals at most")
        scaled, rest = shifted
        if rest:
            raise Unfit(f"{self.decimals} decimals at most")
        if isinstance(value, float) and abs(scaled) > DIGITS:
            raise Unfit("15 digits at most, by which a float is told from any other; a text is exact")
        if isinstance(value, Narrow) and not _told_apart(np.array([value]), self.decimals).all():
            raise Unfit(f"a smaller number, as no {value.dtype} beyond tells {self.decimals} decimals apart")
        return integers.one(scaled)

    def many(self, data: Given) -> tuple[NDArray[Any], NDArray[np.bool_]]:  # noqa: D102
        if isinstance(data, Texts):
            floats, unsure = floats_of(data)
            unsure |= data.lengths > 16  # 15 digits, by which a float is told from any other
        elif isinstance(data, list) or data.dtype.kind not in "fiu":
            return undecided(len(data), self.dtype)
        else:
            floats, unsure = data.astype("f8", copy=False), np.zeros(len(data), bool)
        scale = 10.0**self.decimals
        with np.errstate(invalid="ignore", over="ignore"):
            scaled = np.rint(floats * scale)
            again = scaled / scale
            if isinstance(data, np.ndarray) and is_narrow(data.dtype):
                again = again.astype(data.dtype)
                unsure |= ~_told_apart(data, self.decimals) | (self.decimals > MOST_DECIMALS)
            unsure |= ~((np.abs(scaled) < 1e15) & (again == floats))
        held, outside = Integers(self.dtype).many(np.where(unsure, 0, scaled))
        return held, unsure | outside


@dataclass(frozen=True, slots=True)
class Booleans:
    """True and false, 0 and 1, and the texts ``true``, ``false``, ``0`` and ``1`` in any case.

    >>> Booleans().one("True"), Booleans().one(0)
    (True, False)
    """

    @property
    def dtype(self) -> np.dtype[Any]:  # noqa: D102
        return np.dtype(bool)

    @property
    def empty(self) -> bool:  # noqa: D102
        return False

    def one(self, value: Any) -> bool:  # noqa: D102
        if isinstance(value, int) and value in (0, 1):
            return bool(value)
        if isinstance(value, float) and value == 0 and math.copysign(1, value) < 0:
            return False  # JSON's -0, which is an integer, and read as a float for its sign
        if isinstance(value, str) and (found := _TRUTH.get(value.strip().lower())) is not None:
            return found
        raise Unfit("true or false")

    def many(self, data: Given) -> tuple[NDArray[Any], NDArray[np.bool_]]:  # noqa: D102
        if isinstance(data, Texts):
            rows = np.flatnonzero(data.lengths <= 5)
            found, unsure = undecided(len(data), self.dtype)
            words = data.matrix(rows, 5)
            for word, truth in _WORDS.items():
                same = rows[words == word]
                found[same], unsure[same] = truth, False
            return found, unsure
        if isinstance(data, list) or data.dtype.kind not in "biu":
            return undecided(len(data), self.dtype)
        if data.dtype.kind == "b":  # out of a struct a byte may be neither 0 nor 1, and true all the same
            return np.ascontiguousarray(data).view(np.uint8) != 0, np.zeros(len(data), bool)
        return data == 1, (data != 0) & (data != 1)


_TRUTH: Final = {"true": True, "false": False, "1": True, "0": False}
_WORDS: Final = {b"true": True, b"false": False, b"True": True, b"False": False}


def _whole(text: str) -> int | None:
    """Return the integer that a number in a text is; None: it is none, or beyond all bounds."""
    if INTEGER.fullmatch(text):
        return int(text)
    number, rest = _shifted(text, 0) or (0, 1)
    return None if rest else number


def is_narrow(dtype: np.dtype[Any]) -> bool:
    """Tell whether values of a dtype are narrow floats."""
    return dtype.kind == "f" and dtype.itemsize < 8


def shortest(value: float | Narrow) -> str:
    """Return the shortest decimal number of a float, of those that are nearest to it."""
    return str(value) if isinstance(value, Narrow) else float.__repr__(value)


def _told_apart(floats: NDArray[Any], decimals: int) -> NDArray[np.bool_]:
    """Tell which narrow floats are nearest to one number of so many decimals, and not to two."""
    with np.errstate(invalid="ignore", over="ignore"):
        apart: NDArray[np.bool_] = np.spacing(np.abs(floats)).astype("f8") * 10.0**decimals < 1
    return apart


def _shifted(text: str, places: int) -> tuple[int, int] | None:
    """Return a number times ten to the power of `places`, and whether more is left of it behind the point.

    None: it has an exponent beyond all bounds.
    """
    try:
        number = Decimal(text)
    except ArithmeticError:
        return None
    if not number:
        return 0, 0
    if not -MAX_DIGITS < number.adjusted() < MAX_DIGITS:  # 1e9999 would be a long integer
        return None
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    whole, shift = (-1 if sign else 1) * int("".join(map(str, digits))), exponent + places
    return (whole * 10**shift, 0) if shift >= 0 else divmod(whole, 10**-shift)
