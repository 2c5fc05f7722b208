"""What a cache of decoded chunks is worth: windows that slide over chunks, with and without one.

python benchmarks/cache.py [--json]
"""

import argparse
import json
import tempfile
import time

import numpy as np

import streamzarr as sz


def slide(z, window):
    """Return milliseconds of processor time for reading every window of rows."""
    begin = time.process_time()
    for start in range(len(z) - window):
        z[start : start + window]
    return (time.process_time() - begin) * 1e3


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    data = np.cumsum(np.random.default_rng(0).normal(size=(4096, 64)), axis=0).round(2)
    cells = []
    with tempfile.TemporaryDirectory() as folder:
        for name, layout in {
            "zstd, 64 KiB chunks": {"chunks": (128, 64)},
            "zstd, 512 KiB chunks": {"chunks": (1024, 64)},
            "sharded, 64 KiB inner": {"chunks": (128, 64), "shards": (1024, 64)},
        }.items():
            url = f"{folder}/{name.replace(' ', '')}.zarr"
            sz.create_array(url, data=data, **layout)
            rounds = []
            for _ in range(3):
                cache = sz.ChunkCache(max_bytes=4 << 20)
                rounds.append((slide(sz.open_array(url), 32), slide(sz.open_array(url, cache=cache), 32)))
            plain, cached = (min(times) for times in zip(*rounds, strict=True))
            cells.append({"cell": name, "plain_ms": plain, "cached_ms": cached, "ratio": plain / cached,
                          "hit_rate": cache.stats().hit_rate})  # fmt: skip
    if options.json:
        print(json.dumps(cells))
        return
    print(f"{'windows of 32 rows':24}{'plain':>10}{'cached':>10}{'ratio':>8}{'hits':>8}")
    for cell in cells:
        print(f"{cell['cell']:24}{cell['plain_ms']:8.0f}ms{cell['cached_ms']:8.0f}ms{cell['ratio']:8.1f}"
              f"{cell['hit_rate']:8.1%}")  # fmt: skip


if __name__ == "__main__":
    main()
