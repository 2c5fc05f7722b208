"""Keys of slots and windows: texts, whatever their column holds."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt


def key_names(keys: npt.NDArray[Any]) -> list[str]:
    """Return each key as a text; equal numbers are one key, though zero may have a sign.

    Examples
    --------
    >>> import numpy as np
    >>> key_names(np.array([0.0, -0.0, 1.5])), key_names(np.array([7]))
    (['0.0', '0.0', '1.5'], ['7'])
    """
    if keys.dtype.kind == "f":
        keys = keys + 0.0  # which makes zero of minus zero
    return list(map(str, keys.tolist()))
