"""What a column of a feed holds, and where in a record its values come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

TimeUnit: TypeAlias = Literal["s", "ms", "us", "ns"]


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """One column of a feed.

    Examples
    --------
    >>> import numpy as np
    >>> price = ColumnSpec("price", np.dtype("i8"), source="data.0.p", decimals=2)
    >>> price.path, ColumnSpec("bid", np.dtype("f8")).path
    ('data.0.p', 'bid')
    """

    name: str
    dtype: np.dtype[Any]
    source: str = ""
    """Path in the record, as in ``a.b.0``; one that begins with ``$.`` is of the whole message. Empty: the
    name."""
    sorted: bool = False
    """Values never decrease."""
    required: bool = True
    """A record without a value is bad; else it gets `fill`."""
    fill: Any = None
    """What stands where there is no value; None: NaN, NaT, 0, False or an empty text."""
    missing: tuple[Any, ...] = ()
    """Values, numbers or texts, that say that there is none, as -9999.9 or ``"NA"``."""
    unit: TimeUnit | None = None
    """Of times that are numbers since 1970; None: that of the dtype."""
    format: str | None = None
    """Of times that are texts: ``%Y %m %d %H %M %S %f %z`` and what stands between; None: ISO 8601."""
    zone: str | None = None
    """Of times that are texts without an offset, as ``Europe/Oslo``; None: UTC."""
    decimals: int | None = None
    """The column has integers: the value times ten to this power, exactly."""

    @property
    def path(self) -> str:
        """Where in the record the value is."""
        return self.source or self.name
