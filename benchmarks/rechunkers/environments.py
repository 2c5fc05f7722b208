"""Environments of the peers, on which the package does not depend: their versions, and how they are made."""

from __future__ import annotations

import os
import subprocess
import venv
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "streamzarr-benchmarks"
PINS = {
    "dask": ("dask[array]==2026.8.0", "distributed==2026.8.0", "zarr==3.1.6", "numcodecs==0.16.6"),
    # Rechunker reads and writes with zarr-python 2 only.
    "rechunker": ("rechunker==0.5.4", "dask[array]==2026.8.0", "zarr==2.18.7", "numcodecs==0.15.2"),
    "cubed": ("cubed==0.27.0", "zarr==3.1.6", "numcodecs==0.16.6"),
}
"""By name of the environment."""
EVERYWHERE = ("numpy==2.4.6",)


def interpreter(name: str, folder: Path) -> Path:
    """Return the Python of an environment below `folder`, which is made where it is not as pinned.

    Raises
    ------
    OSError, subprocess.CalledProcessError
        It cannot be made.
    """
    pins = PINS[name] + EVERYWHERE
    python, made = folder / name / "bin" / "python", folder / name / "pins.txt"
    if made.exists() and made.read_text().split() == list(pins):
        return python
    venv.create(folder / name, clear=True, with_pip=True)
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *pins],
        check=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    made.write_text("\n".join(pins))  # last: an environment that was interrupted is made anew
    return python
