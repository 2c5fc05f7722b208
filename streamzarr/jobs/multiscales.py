"""What a pyramid says of its levels: OME-NGFF ``multiscales`` where its rules allow, else a form of our own.

Source: OME-NGFF 0.4 and 0.5, "axes" and "multiscales": two to five axes with names of their own; at most one
of type ``time``, which is the first; then at most one of type ``channel`` or of no type; then two or three of
type ``space``. In 0.5 the names are also the ``dimension_names`` of the arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streamzarr.jobs.wire import Method

OWN_KEY = "streamzarr.levels"
"""The attribute that describes the levels of a pyramid that OME-NGFF has no words for."""

_TYPES = {"t": "time", "time": "time", "c": "channel", "channel": "channel", "band": "channel"}


def axis_names(names: Sequence[str | None] | None, ndim: int) -> tuple[str, ...]:
    """Return a name for each axis: its own, or ``dim_0``, ``dim_1`` and so on, unless another has that.

    >>> axis_names(("time", None), 2), axis_names(("dim_1", None), 2)
    (('time', 'dim_1'), ('dim_1', 'dim_1_'))
    """
    chosen = list(names or (None,) * ndim)
    for axis, name in enumerate(chosen):
        if not name:
            new = f"dim_{axis}"
            while new in chosen:
                new += "_"
            chosen[axis] = new
    return tuple(name or "" for name in chosen)


def ome_axes(names: Sequence[str]) -> list[dict[str, str]] | None:
    """Return axes by OME-NGFF's rules; None where no types that are true of these names follow them.

    Time and channel are told by their names. Of the others the last two or three are space.

    >>> ome_axes(["time", "y", "x"])
    [{'name': 'time', 'type': 'time'}, {'name': 'y', 'type': 'space'}, {'name': 'x', 'type': 'space'}]
    >>> ome_axes(["y", "x", "c"])
    """
    types = [_TYPES.get(name.lower(), "") for name in names]
    for axis in range(max(0, len(types) - 3), len(types)):
        types[axis] = types[axis] or "space"
    before = types[types.index("space") :] if "space" in types else []
    lead = types[: len(types) - len(before)]
    in_order = lead in ([], ["time"], ["channel"], [""], ["time", "channel"], ["time", ""])
    if not (in_order and before in (["space"] * 2, ["space"] * 3) and len(set(names)) == len(names)):
        return None
    return [
        {"name": name} | ({"type": kind} if kind else {}) for name, kind in zip(names, types, strict=True)
    ]


def levels_attributes(
    names: Sequence[str], levels: int, factor: Sequence[int], method: Method, zarr_format: int
) -> dict[str, Any]:
    """Return the attributes of a group that say how its arrays ``0``, ``1`` and so on lie over one another.

    Scale and translation of each level are in cells of level 0.
    """
    datasets = []
    for level in range(levels):
        scale = [float(f**level) for f in factor]
        # The middle of an averaged block lies half its width from the middle of its first cell.
        shift = [0.0 if method == "nearest" else (s - 1) / 2 for s in scale]
        steps = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": shift}]
        datasets.append({"path": str(level), "coordinateTransformations": steps})
    axes = ome_axes(names)
    if axes is None:
        return {OWN_KEY: {"axes": list(names), "datasets": datasets, "type": method}}
    multiscales = {"name": "", "axes": axes, "datasets": datasets, "type": method}
    if zarr_format == 3:
        return {"ome": {"version": "0.5", "multiscales": [multiscales]}}
    return {"multiscales": [{"version": "0.4", **multiscales}]}
