"""Ticks with a time, a symbol, a size and perhaps a price, for feeds that gather them by time."""

import json

START = 1_767_225_600_000
"""Milliseconds since 1970."""
COLUMNS = {
    "at": {"dtype": "datetime64[ms]", "unit": "ms"},
    "symbol": "string",
    "price": {"dtype": "f8", "required": False},
    "size": "i4",
}


def send(bench, *ticks, partition=0):
    """Send ticks: milliseconds since the start, symbol, price, size."""
    told = [
        {"at": START + ms, "symbol": symbol, "size": size, **({} if price is None else {"price": price})}
        for ms, symbol, price, size in ticks
    ]
    bench.send(*(json.dumps(each).encode() for each in told), partition=partition)
