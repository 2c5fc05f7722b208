"""JSON: one record a message, an array of records, records below a path, or a record a line."""

from __future__ import annotations

import importlib.util
from codecs import BOM_UTF8
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from streamzarr.feeds.columns import ColumnSpec
from streamzarr.feeds.decode.base import Decoded
from streamzarr.feeds.decode.json_arrow import ArrowJson, Declined
from streamzarr.feeds.decode.kinds.numbers import Floats
from streamzarr.feeds.decode.layout import Unknown
from streamzarr.feeds.decode.minus_zero import has_minus_zero, with_signs
from streamzarr.feeds.decode.nesting import is_deeper
from streamzarr.feeds.decode.objects import Malformed, ObjectDecoder
from streamzarr.feeds.decode.typed import TypedLayout
from streamzarr.limits import DEFAULT_LIMITS, Limits
from streamzarr.queue.packed import Packed

MAX_PATIENCE = 64
"""Batches, at most, for which pyarrow is not asked after it has declined some in a row."""


class JsonDecoder:
    """Decodes JSON. Owned by one thread; what it keeps of a batch makes only the next one quick.

    A byte order mark at the beginning of a message is no part of it.

    Parameters
    ----------
    columns
        By name.
    records
        Path to an array of records; ``"."``: each message is that array; None: each is a record, or an
        array of records.
    lines
        Each message has a record a line.
    unknown
        ``"error"``: a record with a field that no column takes is bad.
    arrow
        Let pyarrow parse, where it is installed. The result is the same.
    limits
        Bounds of a message.

    Examples
    --------
    >>> decode = JsonDecoder({"bid": ColumnSpec("bid", "f8"), "n": ColumnSpec("n", "i8", "size")})
    >>> rows = decode([b'{"bid": 1.5, "size": 3}', b'{"bid": "x", "size": 3}', b'{"bid": 2, "size": 1}'])
    >>> rows.columns["bid"], rows.origin, rows.bad
    (array([1.5, 2. ]), array([0, 2]), {1: "column 'bid': got the text 'x', expected a number"})
    """

    def __init__(
        self,
        columns: Mapping[str, ColumnSpec],
        *,
        records: str | None = None,
        lines: bool = False,
        unknown: Unknown = "ignore",
        arrow: bool = True,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        layout = TypedLayout(columns, "." if lines else records, unknown, limits.max_message_records)
        parser = _Parser(layout, lines, limits.max_message_depth)
        self._exact = ObjectDecoder(
            "json",
            parser,
            layout,
            (msgspec.MsgspecError, UnicodeDecodeError),
            limits.max_message_bytes,
            parser.all,
        )
        usable = arrow and not lines and importlib.util.find_spec("pyarrow") is not None and bool(columns)
        self._fast = (
            ArrowJson(layout, limits.max_message_bytes, limits.max_message_depth, limits.max_message_records)
            if usable
            else None
        )
        self._declined = self._wait = 0

    @property
    def unlocked(self) -> bool:
        """Whether others can run meanwhile: pyarrow parses without the interpreter's lock."""
        return self._fast is not None

    @property
    def packed(self) -> bool:
        """Whether values may come in one piece: pyarrow takes them so."""
        return self._fast is not None

    def __call__(self, values: Sequence[bytes | None]) -> Decoded:
        """Return the rows of `values`."""
        if self._fast is None:
            return self._exact(values)
        if self._wait:
            self._wait -= 1
            return self._exact(_objects(values))
        for attempt in range(2):
            try:
                found = self._fast(values)
            except Declined:
                if attempt == 0:  # it may have learned nothing yet, or the records have changed
                    self._fast.learn(self._exact.look_at(_objects(values[:SAMPLE])))
            else:
                self._declined = 0
                return found
        self._declined += 1
        self._wait = min(2**self._declined - 2, MAX_PATIENCE)
        return self._exact(_objects(values))


def _objects(values: Sequence[bytes | None]) -> Sequence[bytes | None]:
    return values.unpacked() if isinstance(values, Packed) else values


SAMPLE = 32
"""Messages of a batch from which it is learned what the columns look like."""


class _Parser:
    """Parses one message, exactly."""

    def __init__(self, layout: TypedLayout, lines: bool, max_depth: int) -> None:
        self._max_depth = max_depth
        self._floats = any(isinstance(each.kind, Floats) for each in layout.conversions.values())
        decoder = msgspec.json.Decoder(layout.record_type if lines else layout.message_type)
        self._decode = decoder.decode_lines if lines else decoder.decode

    def __call__(self, value: bytes) -> Any:
        if not value.isascii():
            value = value.removeprefix(BOM_UTF8)
            value.decode()  # what is skipped is not checked by the parser
        if is_deeper(value, self._max_depth):
            raise Malformed(f"nested more than {self._max_depth} deep")
        return self._decode(with_signs(value) if self._floats else value)

    def all(self, values: Sequence[bytes]) -> list[Any]:
        """Return an object for each message; short ones are not nested deep."""
        if max(map(len, values), default=0) < 2 * self._max_depth:
            data = b"".join(values)
            if data.isascii() and not (self._floats and has_minus_zero(data)):
                return list(map(self._decode, values))
        return list(map(self, values))
