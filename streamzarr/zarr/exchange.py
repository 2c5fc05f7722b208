"""The protocols by which other libraries take an array's data: numpy's ``__array__``, and DLPack.

Both read the whole array into memory first; what they give belongs to the caller.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from streamzarr.zarr.codecs.base import NDArray
from streamzarr.zarr.elements import Elements


class Exchange(Elements):
    """A base of :class:`~streamzarr.zarr.array.Array`.

    Examples
    --------
    >>> import numpy as np
    >>> import streamzarr.zarr as zarr
    >>> z = zarr.create_array("memory://", data=[1, 2, 3])
    >>> np.asarray(z), np.from_dlpack(z), np.mean(z)
    (array([1, 2, 3]), array([1, 2, 3]), np.float64(2.0))
    """

    def __array__(self, dtype: np.dtype[Any] | None = None, copy: bool | None = None) -> NDArray:
        if copy is False:
            raise ValueError(f"{self.url}: reading an array always copies; copy=False cannot be had")
        data = self.read()
        return data if dtype is None else data.astype(dtype, copy=False)

    def tobytes(self) -> bytes:
        """Return all values as bytes in C order, as numpy's ``tobytes``."""
        return self.read().tobytes()

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """Return the elements, read into memory, as a DLPack capsule; dtypes as numpy exports them.

        Raises
        ------
        BufferError
            DLPack has no such dtype (strings, times), or ``copy=False``, which reading cannot do.
        """
        if copy is False:
            raise BufferError(f"{self.url}: reading an array always copies; copy=False cannot be had")
        data: Any = self.read()
        return data.__dlpack__(stream=stream, max_version=max_version, dl_device=dl_device)

    def __dlpack_device__(self) -> tuple[int, int]:
        """Return the device of the data: the CPU."""
        return (1, 0)  # kDLCPU
