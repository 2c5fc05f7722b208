"""Other libraries on our stores: zarr-python, and what is built on it (xarray, dask).

:class:`ZarrStore` needs the package ``zarr``, which is imported when the name is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from streamzarr.errors import ConfigError

if TYPE_CHECKING:
    from streamzarr.interop.zarr_store import ZarrStore

__all__ = ["ZarrStore"]


def __getattr__(name: str) -> object:
    if name != "ZarrStore":
        raise AttributeError(f"module 'streamzarr.interop' has no attribute {name!r}")
    try:
        return importlib.import_module("streamzarr.interop.zarr_store").ZarrStore
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "zarr":
            raise
        raise ConfigError("ZarrStore needs zarr-python 3: pip install 'streamzarr[zarr]'") from error


def __dir__() -> list[str]:
    return sorted(__all__)
