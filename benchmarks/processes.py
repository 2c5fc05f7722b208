"""What a process pays for the array layer and its peers: the import, and memory; a part of ``zarr_io.py``."""

from __future__ import annotations

import os
import subprocess
import sys
import time

IMPORTS = {
    "(nothing)": "pass",
    "numpy": "import numpy",
    "streamzarr": "import streamzarr",
    "streamzarr.zarr": "import streamzarr.zarr",
    "zarr": "import zarr",
    "zarrs": "import zarr, zarrs",
    "tensorstore": "import tensorstore",
}
READS = {
    "ours": "import streamzarr as sz; a = sz.open_array({path!r})[...]",
    "zarr": "import zarr; a = zarr.open_array({path!r}, mode='r')[...]",
    "zarrs": "import zarr, zarrs; zarr.config.set({{'codec_pipeline.path': 'zarrs.ZarrsCodecPipeline'}}); "
    "a = zarr.open_array({path!r}, mode='r')[...]",
    "tensorstore": "import tensorstore as ts; a = ts.open({{'driver': 'zarr3', 'kvstore': "
    "{{'driver': 'file', 'path': {path!r}}}}}).result().read().result()",
}
# Not ru_maxrss, which begins with that of the process that started this one.
_PEAK = "\nprint(int(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0]) / 1024)"


def imports(rounds: int) -> dict[str, float]:
    """Milliseconds over bare Python, the least of several runs."""
    best = dict.fromkeys(IMPORTS, float("inf"))
    compiled = os.environ | {"PYTHONDONTWRITEBYTECODE": ""}  # what is not kept would be compiled each time
    for _ in range(rounds):
        for name, code in IMPORTS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], env=compiled, check=True)
            best[name] = min(best[name], time.perf_counter() - start)
    return {name: (took - best["(nothing)"]) * 1e3 for name, took in best.items()}


def peaks(path: str) -> dict[str, float]:
    """Peak memory of a process that reads the whole array at `path`, MiB."""
    return {
        peer: float(
            subprocess.run(
                [sys.executable, "-c", code.format(path=path) + _PEAK],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for peer, code in READS.items()
    }
