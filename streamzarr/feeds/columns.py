"""What a column of a feed holds, and where in a record its values come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from streamzarr.errors import ConfigError
from streamzarr.feeds.meaning import DECIMALS
from streamzarr.flow.windows.moments import duration
from streamzarr.stream.schema import Field, check_name

TimeUnit: TypeAlias = Literal["s", "ms", "us", "ns"]

OFFSET: Final = "@offset"
PARTITION: Final = "@partition"
TOPIC: Final = "@topic"
TIMESTAMP: Final = "@timestamp"
KEY: Final = "@key"
HEADER: Final = "@header."
AHEAD: Final = "30d"
RECORD_SOURCES: Final = (OFFSET, PARTITION, TOPIC, TIMESTAMP, KEY)


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """One column of a feed.

    Raises
    ------
    streamzarr.errors.ConfigError
        It can be no column.

    Examples
    --------
    >>> price = ColumnSpec("price", "i8", source="data.0.p", decimals=2)
    >>> price.path, ColumnSpec("bid", "f8").path
    ('data.0.p', 'bid')
    >>> ColumnSpec("at", "datetime64[ms]", source="@timestamp").of_record
    True
    """

    name: str
    dtype: Any
    """What ``numpy.dtype`` takes, or ``"string"`` or ``"bytes"``; a ``numpy.dtype`` once it is made."""
    source: str = ""
    """Path in the record, as in ``a.b.0``; one that begins with ``$.`` is of the whole message. Empty: the
    name. What begins with ``@`` is not in the value: ``@offset @partition @topic @timestamp @key``, and
    ``@header.`` with a header's name."""
    sorted: bool = False
    """Values never decrease; a record that would go back is bad."""
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
    """Of times without an offset, as ``Europe/Oslo``; None: UTC. Numbers since 1970 are in UTC."""
    decimals: int | None = None
    """The column has integers: the value times ten to this power, exactly."""
    ahead: str | float | None = None
    """Of sorted times: how far ahead of the clock they may be; None: `AHEAD`. All behind one that is far in
    the future would be bad."""
    chunk_rows: int | None = None
    """Rows of a chunk, where they differ from the target's."""
    compressors: Any = "auto"
    """As in ``create_array``."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Of the array, such as its ``units``."""

    def __post_init__(self) -> None:
        check_name(self.name)
        object.__setattr__(self, "dtype", _dtype(self.dtype, self.name))
        if self.of_record and self.source not in RECORD_SOURCES and not self.header:
            raise ConfigError(
                f"column {self.name!r}: from is {self.source!r}, expected a path in the value, one of "
                f"{', '.join(RECORD_SOURCES)}, or {HEADER}NAME"
            )
        if self.ahead is not None and not (self.sorted and self.dtype.kind == "M"):
            raise ConfigError(f"column {self.name!r}: ahead is for times that are sorted")
        duration(self.ahead_of_clock, f"column {self.name!r}: ahead", 1)

    @property
    def path(self) -> str:
        """Where in the record the value is."""
        return self.source or self.name

    @property
    def ahead_of_clock(self) -> str | float:
        """How far ahead of the clock sorted times may be."""
        return AHEAD if self.ahead is None else self.ahead

    @property
    def of_record(self) -> bool:
        """Whether it comes from the record itself, and not out of its value."""
        return self.source.startswith("@")

    @property
    def header(self) -> str:
        """The name of the header that it comes from; empty: from none."""
        return self.source.removeprefix(HEADER) if self.source.startswith(HEADER) else ""

    @property
    def type_name(self) -> str:
        """The dtype as a configuration says it."""
        return {"T": "string", "O": "bytes"}.get(self.dtype.kind) or str(self.dtype)

    def field(self) -> Field:
        """Return it as the field of a stream."""
        fill = self.fill
        if fill is None and self.dtype.kind in "fM":
            fill = np.nan if self.dtype.kind == "f" else np.array("NaT", self.dtype)[()]
        return Field(
            self.type_name,
            chunk_rows=self.chunk_rows,
            compressors=self.compressors,
            fill_value=fill,
            attributes={**self.attributes, **({} if self.decimals is None else {DECIMALS: self.decimals})},
            sorted=self.sorted,
        )


def _dtype(given: Any, name: str) -> np.dtype[Any]:
    """Return what numpy has for it.

    >>> _dtype("string", "symbol"), _dtype("M8[ns]", "time")
    (StringDType(), dtype('<M8[ns]'))
    """
    if isinstance(given, str) and given in ("string", "bytes"):
        return np.dtype(object) if given == "bytes" else np.dtypes.StringDType()
    try:
        found: np.dtype[Any] = np.dtype(given)
        if found.subdtype is not None or found.names is not None:
            raise TypeError("a column has one value in a row")
    except TypeError as error:
        raise ConfigError(
            f'column {name!r}: dtype is {given!r}, expected what numpy.dtype takes, or "string" or "bytes"'
        ) from error
    return found


def in_seconds(nanoseconds: int) -> str:
    """Return a time as it is told.

    >>> in_seconds(2_592_000_000_000_000), in_seconds(1_000_016)
    ('2,592,000 s', '0.001 s')
    """
    return f"{round(nanoseconds / 1e9, 3):,.12g} s"
