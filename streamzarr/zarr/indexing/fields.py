"""What brackets hold and give: names of fields, ``array[2:5, "bid"]``, as in zarr-python; and elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from streamzarr.zarr.codecs.base import NDArray

Fields: TypeAlias = str | Sequence[str] | None
"""Fields of records, by name; None for whole records."""


def field_names(fields: Fields, dtype: np.dtype[Any]) -> list[str]:
    """Return the names in `fields`, all of which `dtype` has.

    >>> field_names("x", np.dtype([("x", "i4"), ("y", "f8")]))
    ['x']

    Raises
    ------
    IndexError
        `dtype` has no such field.
    """
    names = [fields] if isinstance(fields, str) else list(fields or ())
    for name in names:
        if name not in (dtype.names or ()):
            raise IndexError(f"no field {name!r} in {dtype}; the fields are {list(dtype.names or ())}")
    return names


def split_fields(selection: Any, dtype: np.dtype[Any]) -> tuple[list[str], Any]:
    """Return the names of fields in a selection, and what else is in it.

    >>> split_fields((0, "x"), np.dtype([("x", "i4"), ("y", "f8")]))
    (['x'], (0,))
    >>> split_fields(["y", "x"], np.dtype([("x", "i4"), ("y", "f8")]))
    (['y', 'x'], Ellipsis)

    Raises
    ------
    IndexError
        `dtype` has no such field.
    """
    if dtype.names is None:
        return [], selection
    if isinstance(selection, list) and selection and all(isinstance(each, str) for each in selection):
        selection = tuple(selection)
    items = selection if isinstance(selection, tuple) else (selection,)
    names = [each for each in items if isinstance(each, str)]
    if not names:
        return [], selection
    return field_names(names, dtype), tuple(each for each in items if not isinstance(each, str)) or ...


def as_element(found: NDArray, selection: Any) -> Any:
    """Return what brackets give: variable-length bytes as ``bytes``, and the element of ``array[()]``.

    All else stays an array, texts as well, as in zarr-python; so does what an ellipsis asks for, as in numpy.

    >>> as_element(np.array(b"abc", object), 3), as_element(np.array(7), ()), as_element(np.array(7), ...)
    (b'abc', np.int64(7), array(7))
    """
    if found.ndim:
        return found
    items = selection if isinstance(selection, tuple) else (selection,)
    is_element = not items or (found.dtype.kind == "O" and not any(each is Ellipsis for each in items))
    return found[()] if is_element else found


def take_fields(records: NDArray, names: list[str]) -> NDArray:
    """Return one field, or records of several, in memory of their own."""
    if len(names) == 1:
        field: NDArray = records[names[0]].copy()
        return field
    assert records.dtype.fields is not None
    taken: NDArray = np.empty(records.shape, [(name, records.dtype.fields[name][0]) for name in names])
    for name in names:
        taken[name] = records[name]
    return taken
