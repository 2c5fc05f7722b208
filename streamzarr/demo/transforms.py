"""What the demo's workers do with each chunk; they load this module by ``--transforms``."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from streamzarr.jobs import transform


@transform
def kelvin_to_celsius(block: npt.NDArray[Any], *, offset: float = -273.15) -> npt.NDArray[Any]:
    """Return `block`, any shape and in kelvin, in degrees Celsius, in the same dtype.

    >>> import numpy as np
    >>> kelvin_to_celsius(np.array([300.0], np.float32))
    array([26.850006], dtype=float32)
    """
    celsius: npt.NDArray[Any] = block + block.dtype.type(offset)
    return celsius
