"""Decoding beside the chain: one thread decodes a run while the chain's own fetches the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from reactivex import compose

from streamzarr.feeds.columns import ColumnSpec
from streamzarr.feeds.decode.base import Decoder
from streamzarr.feeds.rows import Pieces, RowMaker, Rows, Undecoded
from streamzarr.flow import ops
from streamzarr.flow.graph import Operator
from streamzarr.queue import Columns as Run


def decoding(columns: Mapping[str, ColumnSpec], open_decoder: Callable[[], Decoder]) -> Operator:
    """Return what replaces each run by its rows: on a thread of its own, if the decoder is `unlocked`.

    Others would only take the interpreter's lock from the thread that fetches. Runs keep their order. A run
    that cannot be decoded just so is left to the chain's thread, where :func:`streamzarr.flow.ops.decode`
    finds the bad record, a pause can begin, and more rows than are to be in memory are made some at a time.
    """
    decoder = open_decoder()
    make_rows = RowMaker(columns, decoder)
    if not getattr(decoder, "unlocked", False):
        return ops.decode(make_rows)
    beside = RowMaker(columns, open_decoder())

    def ahead(run: Run) -> Rows | Run:
        try:
            return beside.rows(run)
        except Exception:  # noqa: BLE001 - `rest` meets it again, and what it raises counts
            return run

    def rest(data: Rows | Run) -> Rows | Undecoded | Pieces:
        return data if isinstance(data, Rows) else make_rows(data)

    return compose(ops.dispatch(ahead, workers=1), ops.decode(rest))
