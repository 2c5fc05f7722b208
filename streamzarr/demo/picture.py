"""Input and output side by side, as a PNG."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from streamzarr.demo.field import Field, SeaSurface
from streamzarr.errors import ConfigError
from streamzarr.zarr import Array


def check_installed() -> None:
    """Find out before the work whether its picture can be drawn; raises ``ConfigError``."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigError(
            "the picture needs matplotlib: pip install 'streamzarr[demo]', or give --no-picture"
        )


def draw(path: Path, sea: SeaSurface, source: Array, target: Array) -> None:
    """Write a PNG to `path`: one week of source and target as maps, and the target's year at two places."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    week = min(32, source.shape[0] - 1)
    figure = Figure(figsize=(13, 7.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplot_mosaic([["in", "out"], ["year", "year"]], height_ratios=[2.4, 1])
    for name, array, unit in (("in", source, "K"), ("out", target, "°C")):
        axes = panels[name]
        axes.set_facecolor("0.75")
        image = axes.imshow(
            array[week],
            origin="lower",
            extent=(0, 360, -90, 90),
            cmap="turbo",
            interpolation="nearest",
            aspect="auto",
        )
        chunks = " x ".join(map(str, array.chunks))
        kind = "input" if name == "in" else "output"
        axes.set_title(f"{kind}: Zarr v{array.zarr_format}, chunks {chunks}, week {week}", fontsize=11)
        axes.set(xlabel="longitude, °E", ylabel="latitude, °N")
        figure.colorbar(
            image, ax=axes, orientation="horizontal", label=f"sea-surface temperature, {unit}", aspect=40
        )
    for latitude, column in ((40.0, "C3"), (-40.0, "C0")):
        row = int(np.argmin(np.abs(sea.latitude - latitude)))
        panels["year"].plot(
            _place(target, row), color=column, label=f"{abs(latitude):.0f}° {'NS'[latitude < 0]}"
        )
    panels["year"].set(xlabel="week", ylabel="°C", title="a year at two places, read from the output")
    panels["year"].legend()
    figure.savefig(path, dpi=110)


def _place(target: Array, row: int) -> Field:
    """Return the series of the first cell of a row that is sea, or of the row's first cell."""
    sea = np.flatnonzero(~np.isnan(target[0, row]))
    return np.asarray(target[:, row, int(sea[len(sea) // 2]) if len(sea) else 0])
