"""Environments of peers, on which the package does not depend, and how they are made."""

from __future__ import annotations

import os
import subprocess
import venv
from collections.abc import Sequence
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "streamzarr-benchmarks"


def interpreter(folder: Path, pins: Sequence[str]) -> Path:
    """Return the Python of the environment `folder`, which is made anew where it is not as pinned.

    Raises
    ------
    OSError, subprocess.CalledProcessError
        It cannot be made.
    """
    python, made = folder / "bin" / "python", folder / "pins.txt"
    if made.exists() and made.read_text().split() == list(pins):
        return python
    venv.create(folder, clear=True, with_pip=True)
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *pins],
        check=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    made.write_text("\n".join(pins))  # last: an environment that was interrupted is made anew
    return python


def why_not(error: OSError | subprocess.CalledProcessError) -> str:
    """Say in one line why an environment cannot be had."""
    return (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1]
