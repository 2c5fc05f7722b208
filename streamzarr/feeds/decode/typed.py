"""Records that msgspec makes without what no column needs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, Union

import msgspec

from streamzarr.feeds.columns import ColumnSpec
from streamzarr.feeds.decode.assemble import Origin
from streamzarr.feeds.decode.layout import MESSAGE, Found, Layout, Unknown
from streamzarr.feeds.decode.paths import Path
from streamzarr.feeds.decode.values import MISSING, Values

_UNNAMED: Final = re.compile(r'[\\"\x00-\x1f]')
"""In a name: msgspec has no struct with such a field."""


class TypedLayout(Layout):
    """A layout for messages of :attr:`message_type`. Immutable: any thread may use it.

    Records that are objects at the top of their messages become structs of the fields that columns need;
    the rest is skipped by the parser. Others are plain objects.
    """

    def __init__(
        self, columns: Mapping[str, ColumnSpec], records: str | None, unknown: Unknown, max_records: int
    ) -> None:
        super().__init__(columns, records, unknown, max_records)
        self._names = sorted(self.known)
        flat = self.records in (None, MESSAGE) and not self.positional and not self.needs_whole
        flat = flat and not any(_UNNAMED.search(name) for name in self._names)
        self._struct = self._record_struct({}) if flat else None
        self.record_type: Any = self._struct or Any
        """Of a record, for msgspec."""
        self.message_type: Any = self._message_type(self._struct)
        """Of a message."""

    @property
    def has_structs(self) -> bool:
        """Whether records are structs."""
        return self._struct is not None

    def message_type_with(self, types: Mapping[str, Any]) -> Any:
        """Return the type of a message whose records, which are structs, have other types of values."""
        return self._message_type(self._record_struct(types))

    def attribute(self, name: str) -> str:
        """Return what the field of a name is in a struct."""
        return f"f{self._names.index(name)}"

    def _message_type(self, record: Any) -> Any:
        if record is None:
            return Any
        many = list[record]
        return many if self.records == MESSAGE else Union[record, many]  # noqa: UP007

    def _record_struct(self, types: Mapping[str, Any]) -> type:
        return msgspec.defstruct(
            "Record",
            [(self.attribute(name), types.get(name, Any), MISSING) for name in self._names],
            rename={self.attribute(name): name for name in self._names},
            forbid_unknown_fields=self.unknown == "error",
            gc=False,
        )

    def checked(
        self, records: Sequence[Any], wholes: Sequence[Any], origin: Origin | None, bad: Mapping[int, str]
    ) -> Found:
        """Leave structs alone, which msgspec has checked."""
        if self._struct is None:
            return super().checked(records, wholes, origin, bad)
        return Found(records, wholes, origin, bad)

    def values(self, found: Found) -> list[Values]:
        """Return what records have for each column."""
        if self._struct is None:
            return super().values(found)
        return [Values.of(self._of_structs(path, found.records)) for path in self.paths.values()]

    def _of_structs(self, path: Path, records: Sequence[Any]) -> list[Any]:
        values = list(map(attrgetter(self.attribute(path.steps[0])), records))
        return values if len(path.steps) == 1 else [path.follow(value, 1) for value in values]
