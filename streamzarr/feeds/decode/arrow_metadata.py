"""What pyarrow does not tell of a message of an IPC stream: whether its buffers are compressed.

Source: https://github.com/apache/arrow/blob/main/format/Message.fbs; tables of FlatBuffers begin with the
distance to their list of fields, in which an offset of 0 says that a field is absent.
"""

from __future__ import annotations

import struct
from typing import Final

_HEADER_TYPE, _HEADER = 1, 2
_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3
_DATA: Final = 1
"""Of a dictionary batch: a record batch."""
_COMPRESSION: Final = 3
"""Of a record batch."""


def has_compressed_buffers(metadata: bytes) -> bool:
    """Tell whether the metadata of a message, a FlatBuffer, say that its buffers are compressed.

    Raises
    ------
    ValueError
        They are damaged.
    """
    try:
        message = _follow(metadata, 0)
        kind = _field(metadata, message, _HEADER_TYPE)
        header = _field(metadata, message, _HEADER)
        if kind is None or header is None:
            return False
        table, batch = metadata[kind], _follow(metadata, header)
        if table == _DICTIONARY_BATCH and (data := _field(metadata, batch, _DATA)) is not None:
            table, batch = _RECORD_BATCH, _follow(metadata, data)
        return table == _RECORD_BATCH and _field(metadata, batch, _COMPRESSION) is not None
    except (struct.error, IndexError) as error:
        raise ValueError("damaged metadata of a message") from error


def _follow(data: bytes, at: int) -> int:
    """Return where the offset at a place leads."""
    (offset,) = struct.unpack_from("<I", data, at)
    return at + int(offset)


def _field(data: bytes, table: int, number: int) -> int | None:
    """Return where a field of a table is; None: it is absent."""
    (back,) = struct.unpack_from("<i", data, table)
    fields = table - back
    if fields < 0:
        raise IndexError(fields)
    (size,) = struct.unpack_from("<H", data, fields)
    place = 4 + 2 * number
    if place + 2 > size:
        return None
    (offset,) = struct.unpack_from("<H", data, fields + place)
    return table + int(offset) if offset else None
