"""JSON by whole batches: pyarrow parses all messages as lines, without the interpreter's lock.

It may decline a batch, and never gives another answer than the exact decoder: whatever the two understand
differently, or where one message could be taken for two, or two for one, is left to that one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from streamzarr.feeds.decode.arrow_values import values_of
from streamzarr.feeds.decode.assemble import Origin, assemble
from streamzarr.feeds.decode.base import Decoded, TooMuchError
from streamzarr.feeds.decode.kinds import Kind
from streamzarr.feeds.decode.kinds.numbers import DIGITS, EXACT, Booleans, Floats, Integers, Scaled
from streamzarr.feeds.decode.kinds.times import Times
from streamzarr.feeds.decode.layout import MESSAGE, Layout
from streamzarr.feeds.decode.minus_zero import has_minus_zero
from streamzarr.feeds.decode.nesting import is_deeper
from streamzarr.feeds.decode.texts import Texts
from streamzarr.feeds.decode.values import MISSING, LocalTimes, Values
from streamzarr.queue.packed import Packed

MAX_BATCH: Final = 1 << 30
"""Bytes of a batch: Arrow counts those of texts in 31 bits."""
BLOCK: Final = 256 << 10
"""Bytes from which on a batch is parsed on several threads, and the least that each is given."""
WRAPPED: Final = 8
"""Bytes that are put around a message, at most."""
SHORTEST: Final = 3
"""Bytes of a record in a list, at least."""
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class Declined(Exception):  # noqa: N818 - is an answer, and never leaves the decoder
    """The batch is for the exact decoder."""


class ArrowJson:
    """Decodes batches of JSON that are as the last one was. Owned by one thread.

    Parameters
    ----------
    layout
        Where records and columns are.
    max_bytes, max_depth, max_records
        Bounds of a message.
    """

    def __init__(self, layout: Layout, max_bytes: int, max_depth: int, max_records: int) -> None:
        self._layout = layout
        self._max_bytes, self._max_depth, self._max_records = max_bytes, max_depth, max_records
        self._types: dict[str, Any] | None = None
        self._row_bytes = sum(each.kind.dtype.itemsize for each in layout.conversions.values())

    def learn(self, values: Sequence[Values]) -> None:
        """Take from a batch what the columns look like in the messages."""
        kinds = self._layout.conversions.items()
        found = {
            name: _type_of(each, conversion.kind)
            for (name, conversion), each in zip(kinds, values, strict=True)
        }
        self._types = None if None in found.values() else found

    def __call__(self, values: Sequence[bytes | None]) -> Decoded:
        """Return the rows of `values`, or raise :class:`Declined`."""
        if self._types is None or not values or (not isinstance(values, Packed) and None in values):
            raise Declined
        lines: Sequence[bytes] = values  # type: ignore[assignment]
        many = self._layout.records == MESSAGE or (self._layout.records is None and lines[0][:1] == b"[")
        if many and self._layout.positional and self._layout.records is None:
            raise Declined
        data, longest = _joined(lines, wrap=many)
        self._check_limits(lines, longest)
        if many or self._layout.records is not None:
            most = sum(map(len, lines)) // SHORTEST  # records
            TooMuchError.check(most * self._row_bytes, len(lines))
        table = self._parse(data, many, longest)
        if table.num_rows != len(values):
            raise Declined
        steps = ("r",) if many else self._layout.records
        records, origin = (table, None) if steps is None else self._records(table, steps, len(values))
        found = [self._column(name, table, records, origin) for name in self._layout.paths]
        return assemble(self._layout.conversions, found, origin, {}, len(values))

    def _check_limits(self, lines: Sequence[bytes], longest: int) -> None:
        if longest > self._max_bytes:
            raise Declined
        most = self._max_depth
        if longest >= 2 * most and any(len(line) >= 2 * most and is_deeper(line, most) for line in lines):
            raise Declined

    def _parse(self, data: bytes, many: bool, longest: int) -> Any:
        import pyarrow as pa
        import pyarrow.json

        # Some blocks for each core; a message may lie in two of them, and not in three.
        block = max(BLOCK, len(data) // (2 * pa.cpu_count()), longest + WRAPPED) + 1
        try:
            return pa.json.read_json(
                pa.BufferReader(data),
                read_options=pa.json.ReadOptions(use_threads=len(data) > BLOCK, block_size=block),
                parse_options=pa.json.ParseOptions(
                    explicit_schema=self._schema(many),
                    unexpected_field_behavior=self._layout.unknown,
                ),
            )
        except pa.ArrowException as error:
            raise Declined from error

    def _schema(self, many: bool) -> Any:
        import pyarrow as pa

        assert self._types is not None
        own: dict[str, Any] = {}
        whole: dict[str, Any] = {}
        for name, path in self._layout.paths.items():
            _plant(whole if path.whole else own, path.steps, self._types[name])
        steps = ("r",) if many else self._layout.records
        if steps is None:
            return pa.schema(_fields(own | whole))
        _plant(whole, steps, pa.list_(_arrow_type(own)))
        return pa.schema(_fields(whole))

    def _records(self, table: Any, steps: Sequence[str], messages: int) -> tuple[Any, Origin]:
        lists = _descend(table, steps)
        if lists.null_count:
            raise Declined
        counts = np.diff(lists.offsets.to_numpy())
        if counts.size and counts.max() > self._max_records:
            raise Declined
        records = lists.flatten()
        if records.null_count:
            raise Declined
        return records, np.repeat(np.arange(messages), counts)

    def _column(self, name: str, table: Any, records: Any, origin: Origin | None) -> Values:
        path = self._layout.paths[name]
        array = _descend(table if path.whole else records, path.steps)
        if path.whole and origin is not None:
            import pyarrow as pa

            array = array.take(pa.array(origin))
        values = values_of(array)
        if isinstance(values.data, np.ndarray) and values.data.dtype.kind == "f":
            present = values.data if values.absent is None else values.data[~values.absent]
            if not _is_same(present, self._layout.conversions[name].kind):
                raise Declined
        return values


def _joined(lines: Sequence[bytes], *, wrap: bool) -> tuple[bytes, int]:
    r"""Return the messages as lines, if it is certain that each stays one, and the bytes of the longest.

    Each begins with ``{`` and ends with ``}`` here, and there is no line break within. A break in a string is
    not JSON. Behind the end of an object only a comma or another end may come, so where ``{`` begins a line,
    nothing is open: each message is one record or more, and as many records as messages are one each.
    """
    if wrap:
        data = b'{"r":' + b'}\n{"r":'.join(lines) + b"}"
    else:
        data = lines.data if isinstance(lines, Packed) else b"\n".join(lines)
        if data[:1] != b"{" or data[-1:] != b"}":
            raise Declined
    if len(data) > MAX_BATCH:
        raise Declined
    octets = np.frombuffer(data, np.uint8)
    breaks = np.flatnonzero(octets == ord("\n"))
    if len(breaks) != len(lines) - 1:
        raise Declined
    longest = int(np.diff(breaks, prepend=-1, append=len(data)).max()) - 1
    if not ((octets[breaks - 1] == ord("}")) & (octets[breaks + 1] == ord("{"))).all():
        raise Declined
    # One character is looked for ten times as fast as two are.
    if (b"N" in data and b"NaN" in data) or (b"I" in data and b"Inf" in data):
        raise Declined
    if b"-" in data and has_minus_zero(data):
        raise Declined
    if b"\\" in data and _SURROGATE.search(data):
        raise Declined
    if not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError as error:
            raise Declined from error
    return data, longest - len(b'{"r":}') if wrap else longest


def _type_of(values: Values, kind: Kind) -> Any:
    """Return the type by which Arrow is to read a column that looked like this; None: there is none."""
    import pyarrow as pa

    data = values.data
    if isinstance(data, Texts):
        return pa.string()
    if isinstance(data, LocalTimes):  # which JSON has not
        return None
    if isinstance(data, list):
        kinds = {type(each) for each in data if each is not None and each is not MISSING}
        if not kinds:
            return _usual(kind)
        return pa.float64() if kinds == {int, float} and isinstance(kind, Floats | Scaled | Times) else None
    if data.dtype.kind == "b":
        return pa.bool_()
    if isinstance(kind, Floats) or (data.dtype.kind == "f" and isinstance(kind, Integers | Scaled | Times)):
        return pa.float64()
    if data.dtype.kind == "f":
        return _usual(kind)
    return pa.uint64() if data.dtype.kind == "u" or kind.dtype == np.uint64 else pa.int64()


def _usual(kind: Kind) -> Any:
    import pyarrow as pa

    if isinstance(kind, Floats):
        return pa.float64()
    return pa.int64() if isinstance(kind, Integers | Booleans) else pa.string()


def _is_same(floats: NDArray[np.float64], kind: Kind) -> bool:
    """Tell whether a column is the same if those without a fraction were integers in the messages."""
    if isinstance(kind, Floats):
        return bool(np.isfinite(floats).all())
    most = DIGITS / 10**kind.decimals if isinstance(kind, Scaled) else EXACT
    return bool(((np.abs(floats) < min(most, EXACT)) | (np.rint(floats) != floats)).all())


def _plant(tree: dict[str, Any], steps: Sequence[str], leaf: Any) -> None:
    """Put the type of a column where its path leads."""
    for step in steps[:-1]:
        tree = tree.setdefault(step, {})
        if not isinstance(tree, dict):
            raise Declined
    if tree.setdefault(steps[-1], leaf) != leaf:
        raise Declined


def _arrow_type(tree: Mapping[str, Any]) -> Any:
    """Return an object's type; or an array's, where all the names are positions."""
    import pyarrow as pa

    if all(name.isdecimal() for name in tree):
        kinds = {_leaf(each) for each in tree.values()}
        if len(kinds) != 1:
            raise Declined
        return pa.list_(kinds.pop())
    return pa.struct(_fields(tree))


def _fields(tree: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(name, _leaf(each)) for name, each in tree.items()]


def _leaf(each: Any) -> Any:
    return _arrow_type(each) if isinstance(each, dict) else each


def _descend(found: Any, steps: Sequence[str]) -> Any:
    """Return the array at a path below a table or an array of structs and lists."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for step in steps:
        if isinstance(found, pa.Table):
            found = found.column(step).combine_chunks()
            if isinstance(found, pa.ChunkedArray):
                found = pa.concat_arrays(found.chunks)
        elif pa.types.is_struct(found.type):
            found = pc.struct_field(found, step)
        else:
            try:
                found = pc.list_element(found, int(step))
            except pa.ArrowException as error:  # some array is shorter
                raise Declined from error
    return found
