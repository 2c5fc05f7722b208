"""numcodecs, when it is first needed: its package imports all its codecs, and most programs use none."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def numcodecs() -> Any:
    """Return the package, with the submodules that are used here.

    The package comes first: two threads, one of which begins with a submodule, get one that is half made.
    """
    import numcodecs
    import numcodecs.blosc
    import numcodecs.registry
    import numcodecs.vlen
    import numcodecs.zstd

    # The global threads of C-Blosc do not survive a fork and fight with ours; zarr-python has them off, too.
    numcodecs.blosc.use_threads = False
    return numcodecs
