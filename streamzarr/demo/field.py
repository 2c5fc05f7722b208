"""A year of sea-surface temperature, made up but shaped like the real thing."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from streamzarr.errors import ConfigError

Field = npt.NDArray[np.float32]

FREEZING = 271.35
"""Seawater freezes here, kelvin."""
STEP = 0.01
"""Satellite products are stored in steps of a hundredth of a kelvin."""


class SeaSurface:
    """Weekly maps of sea-surface temperature: kelvin, float32, NaN on land.

    Each map is a function of seed and week alone, so that any part can be made again, in bounded memory, to
    check a result against. Parts: warm tropics, two meandering fronts, seasons that are opposed in the two
    hemispheres, eddies that drift west, noise of the instrument; rounded to 0.01 K.

    Parameters
    ----------
    shape
        Cells along latitude (south to north) and longitude; the default is a quarter of a degree.

    Examples
    --------
    >>> sea = SeaSurface(shape=(90, 180))
    >>> week = sea.week(0)
    >>> week.shape, week.dtype, bool(np.nanmin(week) >= np.float32(271.35))
    ((90, 180), dtype('float32'), True)
    >>> bool(np.array_equal(week, SeaSurface(shape=(90, 180)).week(0), equal_nan=True))
    True
    """

    def __init__(self, shape: tuple[int, int] = (720, 1440), seed: int = 20260105) -> None:
        if min(shape) < 2:
            raise ConfigError(f"a map of {shape} cells, expected at least 2 along each axis")
        self.shape = shape
        self._seed = seed

    def week(self, number: int) -> Field:
        """Return the map of one week; weeks 0 and 52 are the same season."""
        noise = self._random(100 + number).standard_normal(self.shape, np.float32)
        season = np.float32(np.cos(2 * np.pi * (number - 32) / 52))
        west = -2 * number * self.shape[1] // 720  # half a degree a week
        field = self._climate + season * self._seasonality
        field += self._activity * np.roll(self._eddies, west, axis=1)
        field += np.float32(0.05) * noise
        np.maximum(field, np.float32(FREEZING), out=field)
        stepped: Field = (np.round(field / np.float32(STEP)) * np.float32(STEP)).astype(
            np.float32, copy=False
        )
        stepped[self._land] = np.nan
        return stepped

    def weeks(self, start: int, stop: int) -> Field:
        """Return the maps from week `start` to before `stop`, stacked."""
        return np.stack([self.week(number) for number in range(start, stop)])

    @cached_property
    def latitude(self) -> Field:
        """Middle of each row, degrees north."""
        step = 180 / self.shape[0]
        return (np.arange(self.shape[0], dtype=np.float32) + np.float32(0.5)) * np.float32(step) - np.float32(
            90
        )

    @cached_property
    def longitude(self) -> Field:
        """Middle of each column, degrees east."""
        step = 360 / self.shape[1]
        return (np.arange(self.shape[1], dtype=np.float32) + np.float32(0.5)) * np.float32(step)

    @cached_property
    def _climate(self) -> Field:
        """Mean of the year: falls off from the equator, and in a step at two fronts that meander."""
        meandering = np.abs(self.latitude[:, None] + 4 * self._smooth(1, 3.5))
        mean = 271.0 + 27.0 * np.cos(np.radians(np.minimum(meandering, 90))) ** 2
        return np.asarray(mean - 2.0 * np.tanh((meandering - 42) / 1.5), np.float32)

    @cached_property
    def _seasonality(self) -> Field:
        """Half the range of a year: greatest in the middle latitudes, summer where it is summer."""
        radians = np.radians(self.latitude)
        return np.asarray(np.sign(radians) * 4.5 * np.sin(2 * np.abs(radians)) ** 2, np.float32)[:, None]

    @cached_property
    def _activity(self) -> Field:
        """How strong the eddies are: most along the fronts."""
        return np.asarray(0.3 + 1.2 * np.exp(-(((np.abs(self.latitude) - 42) / 10) ** 2)), np.float32)[
            :, None
        ]

    @cached_property
    def _eddies(self) -> Field:
        return self._smooth(2, 2.5)

    @cached_property
    def _land(self) -> npt.NDArray[np.bool_]:
        """Three tenths of the globe, in continents with ragged coasts."""
        height = self._smooth(3, 4.0)
        return np.asarray(height > np.quantile(height, 0.7))

    def _smooth(self, part: int, power: float) -> Field:
        """Return noise whose spectrum falls off as ``k**-power``, with mean 0 and standard deviation 1."""
        rows, columns = self.shape
        spectrum = np.fft.rfft2(self._random(part).standard_normal(self.shape, np.float32))
        wavenumber = np.hypot(
            np.fft.fftfreq(rows)[:, None] * rows, np.fft.rfftfreq(columns)[None, :] * columns / 2
        )
        wavenumber[0, 0] = 1
        spectrum *= wavenumber ** (-power / 2)
        spectrum[0, 0] = 0
        noise = np.fft.irfft2(spectrum, self.shape)
        return np.asarray(noise / noise.std(), np.float32)

    def _random(self, part: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, part])
