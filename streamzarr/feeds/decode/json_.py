"""JSON objects, decoded by msgspec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from streamzarr.feeds.columns import ColumnSpec
from streamzarr.feeds.decode.base import Decoded


class JsonDecoder:
    """Each message is one object."""

    def __init__(self, columns: Mapping[str, ColumnSpec]) -> None:
        self._columns = columns

    def __call__(self, values: Sequence[bytes | None]) -> Decoded:
        """Decode."""
        bad: dict[int, str] = {}
        found: dict[str, list[Any]] = {name: [] for name in self._columns}
        origin = []
        for index, value in enumerate(values):
            try:
                document = msgspec.json.decode(value or b"")
                row = {name: _at(document, each) for name, each in self._columns.items()}
            except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
                bad[index] = str(error)
                continue
            origin.append(index)
            for name, each in row.items():
                found[name].append(each)
        columns = {name: np.array(found[name], each.dtype) for name, each in self._columns.items()}
        return Decoded(columns, np.array(origin, np.intp) if bad else None, bad)


def _at(document: Any, spec: ColumnSpec) -> Any:
    for name in spec.path.split("."):
        document = document[name]
    return np.array(document).astype(spec.dtype)
