"""What tests of decoders have in common."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from streamzarr.feeds.columns import ColumnSpec
from streamzarr.feeds.decode.base import Decoded, Decoder

FUZZ = float(os.environ.get("STREAMZARR_FUZZ", "1"))
"""How many times as many examples as usual."""


def share(examples: int) -> int:
    """The number of examples that a property is tried with."""
    return max(1, round(examples * FUZZ))


def specs(**columns) -> dict[str, ColumnSpec]:
    """Columns by name: a dtype, or a dtype and what else there is to say."""
    given = {name: each if isinstance(each, tuple) else (each, {}) for name, each in columns.items()}
    return {name: ColumnSpec(name, dtype, **more) for name, (dtype, more) in given.items()}


def bits(column: np.ndarray) -> list:
    """What a column holds, so that NaN is equal to itself, and 0.0 differs from -0.0."""
    if column.dtype.kind in "TO":
        return column.tolist()
    return np.frombuffer(np.ascontiguousarray(column).tobytes(), f"V{column.dtype.itemsize}").tolist()


def assert_same(got: Decoded, expected: Decoded, messages: int) -> None:
    """Two decoders gave the same rows, of the same messages, and the same reasons."""
    assert dict(got.bad) == dict(expected.bad)
    assert origins(got, messages) == origins(expected, messages)
    for name, column in expected.columns.items():
        assert got.columns[name].dtype == column.dtype
        assert bits(got.columns[name]) == bits(column), name


def origins(decoded: Decoded, messages: int) -> list[int]:
    """The message of each row."""
    return list(range(messages)) if decoded.origin is None else decoded.origin.tolist()


def decoded_soundly(decoder: Decoder, values: Sequence[bytes | None]) -> Decoded:
    """Decode, and check what is so of every result."""
    decoded = decoder(values)
    rows = {len(column) for column in decoded.columns.values()}
    assert len(rows) <= 1
    messages = origins(decoded, len(values)) if rows else []
    assert not rows or rows == {len(messages)}
    assert messages == sorted(messages)
    assert not set(messages) & set(decoded.bad)
    assert set(messages) | set(decoded.bad) <= set(range(len(values)))
    assert all(isinstance(reason, str) and 5 < len(reason) < 1000 for reason in decoded.bad.values())
    return decoded
