"""Where in a message its records are, and in a record the columns: for formats whose messages are objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np

from streamzarr.errors import ConfigError
from streamzarr.feeds.columns import ColumnSpec
from streamzarr.feeds.decode.assemble import Origin
from streamzarr.feeds.decode.convert import Conversion
from streamzarr.feeds.decode.kinds.base import shown
from streamzarr.feeds.decode.paths import Path
from streamzarr.feeds.decode.values import MISSING, Values

Unknown = Literal["ignore", "error"]
"""What to do with a field of a record that no column takes."""
Meant = Callable[[Values], Values]
"""Makes of values, as a parser gave them, what they are by their schema."""
MESSAGE = "."
"""As the path of the records: the message itself is an array of them."""


@dataclass(frozen=True, slots=True)
class Found:
    """The records of some messages, one behind the other."""

    records: Sequence[Any]
    wholes: Sequence[Any]
    """The message of each, where a column needs it."""
    origin: Origin | None
    bad: Mapping[int, str]


class Layout:
    """Where records and columns are. Immutable: any thread may use it.

    Parameters
    ----------
    columns
        By name.
    records
        Path to an array of records in a message; ``"."``: the message is that array; None: the message
        is one record, or an array of records that are objects.
    unknown
        ``"error"``: a record with a field that no column takes is bad.
    max_records
        Of one message.
    meant
        By column: what its values are known to be, where objects do not say it.
    """

    def __init__(
        self,
        columns: Mapping[str, ColumnSpec],
        records: str | None,
        unknown: Unknown,
        max_records: int,
        meant: Mapping[str, Meant] | None = None,
    ) -> None:
        if unknown not in ("ignore", "error"):
            raise ConfigError(f"decode: unknown is {unknown!r}, expected 'ignore' or 'error'")
        self.conversions = {name: Conversion(spec) for name, spec in columns.items()}
        self.paths = {name: Path.of(spec.path) for name, spec in columns.items()}
        self.records = None if records is None else records if records == MESSAGE else Path.of(records).steps
        self.unknown = unknown
        self._max_records, self._meant = max_records, meant or {}
        own = [path for path in self.paths.values() if not path.whole]
        self.positional = bool(own) and all(path.steps[0].isdecimal() for path in own)
        """Records are arrays, or objects whose names are numbers."""
        self.known = frozenset(path.steps[0] for path in own)
        self.needs_whole = len(own) < len(self.paths)

    def find(self, messages: Sequence[Any]) -> Found:
        """Return the records of messages that were parsed; one that is MISSING has none."""
        if self.records is None and not {list, type(MISSING)} & set(map(type, messages)):
            return self.checked(messages, messages, None, {})
        records: list[Any] = []
        wholes: list[Any] = []
        counts = np.zeros(len(messages), np.intp)
        bad = {}
        for index, message in enumerate(messages):
            if message is MISSING:
                continue
            some = self._records_of(message)
            if isinstance(some, str):
                bad[index] = some
                continue
            records += some
            counts[index] = len(some)
            if self.needs_whole:
                wholes += [message] * len(some)
        return self.checked(records, wholes, np.repeat(np.arange(len(messages)), counts), bad)

    def _records_of(self, message: Any) -> list[Any] | str:
        """Return the records of a message, or the reason why it has none."""
        found = message
        if isinstance(self.records, tuple):
            found = Path(self.records).follow(message)
        elif self.records is None and (self.positional or not isinstance(message, list)):
            return [message]
        if not isinstance(found, list | tuple):
            where = "the message" if self.records in (None, MESSAGE) else ".".join(cast(Any, self.records))
            got = "nothing" if found is MISSING else shown(found)
            return f"records: got {got}, expected an array in {where}"
        if len(found) > self._max_records:
            return f"records: got {len(found)} of them, expected {self._max_records} at most"
        return list(found)

    def checked(
        self, records: Sequence[Any], wholes: Sequence[Any], origin: Origin | None, bad: Mapping[int, str]
    ) -> Found:
        """Leave out the messages with a record that is none."""
        reasons = dict(bad)
        for row, record in enumerate(records):
            if (reason := self._fault(record)) is not None:
                reasons.setdefault(row if origin is None else int(origin[row]), reason)
        if len(reasons) == len(bad):
            return Found(records, wholes, origin, bad)
        where = np.arange(len(records)) if origin is None else origin
        keep = ~np.isin(where, list(reasons))
        kept = np.flatnonzero(keep).tolist()
        return Found(
            [records[row] for row in kept],
            [wholes[row] for row in kept] if wholes else wholes,
            where[keep],
            reasons,
        )

    def _fault(self, record: Any) -> str | None:
        if not isinstance(record, list | tuple | dict if self.positional else dict):
            return f"record: got {shown(record)}, expected {'an array' if self.positional else 'an object'}"
        if self.unknown == "error":
            if not isinstance(record, dict):
                most = max(map(int, self.known)) + 1
                return f"record: got {len(record)} fields, expected {most}" if len(record) > most else None
            if strange := sorted(set(map(str, record)) - self.known):
                return f"record: got the field {shown(strange[0])[9:]}, which no column takes"
        return None

    def values(self, found: Found) -> list[Values]:
        """Return what records have for each column."""
        values = {name: Values.of(self._along(path, found)) for name, path in self.paths.items()}
        return [self._meant[name](each) if name in self._meant else each for name, each in values.items()]

    def _along(self, path: Path, found: Found) -> list[Any]:
        if path.whole or self.positional or len(path.steps) > 1:
            return [path.follow(each) for each in (found.wholes if path.whole else found.records)]
        [name] = path.steps
        return [record.get(name, MISSING) for record in found.records]
