"""Changes of an order book on a topic become its depth: an array of updates x side x level.

python examples/order_book.py [updates.csv] [--picture depth.png]

Without a file the book is made up. One has the columns timestamp, last_update_id, side (a or b), price and
qty; ``btcusdt_depth_update.csv`` of the recorded data is such a file.

Prices and quantities are exact: integers of hundredths and thousandths, as the exchange's texts say.
"""

import argparse
import csv
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import streamzarr as sz
from streamzarr.feeds.produce import generate
from streamzarr.queue import NewRecord
from streamzarr.stream import Field

LEVELS = 10
SIDES = ("b", "a")
UPDATES = 1500
NOTHING = {"price": -1, "quantity": 0}
"""Of a level that the book does not have."""


def made_up() -> Iterator[dict[str, str]]:
    """Yield the changes of a book of one symbol, a level at a time; a quantity of 0 takes it away."""
    updates = (json.loads(value) for piece in generate("book", rate=100, ids=1) for value in piece.values)
    for _, update in zip(range(UPDATES), updates, strict=False):
        if update["type"] == "snapshot" and update["first"] > 1:
            continue  # says again what is known
        stamp = {"timestamp": update["ts"], "last_update_id": update["last"]}
        for side, levels in (("b", update["bids"]), ("a", update["asks"])):
            for price, quantity in levels:
                yield {**stamp, "side": side, "price": price, "qty": quantity}


def recorded(path: str) -> Iterator[dict[str, str]]:
    """Yield the changes of a file."""
    with Path(path).open(newline="") as file:
        for row in csv.DictReader(file):
            yield row | {name: int(row[name]) for name in ("timestamp", "last_update_id")}


def ingest(folder: str, changes: list[dict[str, str]]) -> sz.stream.Snapshot:
    """Send the changes, run the feed until it has them all, and return its stream."""
    broker = f"sqlite:///{folder}/queue.db"
    with sz.open_broker(broker) as opened:
        opened.create_topic("book")
        with opened.producer() as producer:
            producer.send("book", [NewRecord(json.dumps(change).encode()) for change in changes])
    feed = {
        "source": {"broker": broker, "topics": ["book"]},
        "decode": {"format": "json"},
        "columns": {
            "time": {"dtype": "datetime64[ms]", "from": "timestamp", "unit": "ms", "sorted": True},
            "update": {"dtype": "i8", "from": "last_update_id", "sorted": True},
            "side": "S1",
            "price": {"dtype": "i8", "decimals": 2},
            "quantity": {"dtype": "i8", "from": "qty", "decimals": 3},
        },
        "target": {"url": f"{folder}/changes.zarr"},
    }
    with sz.FeedFleet(feed) as fleet:
        fleet.wait_caught_up(timeout=120)
    return sz.open_stream(f"{folder}/changes.zarr", "p00000")


class Book:
    """The levels of both sides."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[int, int]] = {side: {} for side in SIDES}

    def change(self, side: str, price: int, quantity: int) -> None:
        """Set a level, or take it away."""
        if quantity:
            self.sides[side][price] = quantity
        else:
            self.sides[side].pop(price, None)

    def depth(self) -> tuple[np.ndarray, np.ndarray]:
        """Return prices and quantities of the best levels, the best first."""
        price, quantity = (np.full((len(SIDES), LEVELS), NOTHING[name]) for name in ("price", "quantity"))
        for row, side in enumerate(SIDES):
            best = sorted(self.sides[side].items(), reverse=side == "b")[:LEVELS]
            for level, (at, size) in enumerate(best):
                price[row, level], quantity[row, level] = at, size
        return price, quantity


def fold(changes: sz.stream.Snapshot, url: str) -> sz.stream.Snapshot:
    """Write the book's depth behind each update that is over; begun again, it goes on where it was."""
    level = {"shape": (len(SIDES), LEVELS), "dimension_names": ("side", "level")}
    schema = {
        "time": Field("M8[ms]", sorted=True),
        "update": Field("i8", sorted=True),
        "price": Field("i8", **level, attributes={"scale_factor": 0.01, "missing_value": NOTHING["price"]}),
        "quantity": Field("i8", **level, attributes={"scale_factor": 0.001}),
    }
    columns = {name: changes[name][:] for name in ("time", "update", "side", "price", "quantity")}
    ends = [*np.flatnonzero(np.diff(columns["update"])), len(columns["update"]) - 1]
    with sz.StreamWriter(url, schema=schema, chunk_rows=512, source="changes") as writer:
        book, done = Book(), writer.position or 0
        depths, behind, first = [], [], 0
        for end in ends:
            for row in range(first, end + 1):
                side = columns["side"][row].decode()
                book.change(side, int(columns["price"][row]), int(columns["quantity"][row]))
            first = end + 1
            if first > done:
                depths.append(book.depth())
                behind.append(first)
        if depths:
            rows = np.array(behind) - 1
            prices, quantities = (np.array(each) for each in zip(*depths, strict=True))
            stamps = {name: columns[name][rows] for name in ("time", "update")}
            writer.append(stamps | {"price": prices, "quantity": quantities}, next_offset=behind)
    return sz.open_stream(url)


def check(depth: sz.stream.Snapshot, changes: list[dict[str, str]]) -> int:
    """Compare each row with what the changes up to its update come to; return how many rows there are."""
    levels: dict[tuple[str, str], str] = {}
    at = 0
    for update, price, quantity in zip(depth["update"], depth["price"], depth["quantity"], strict=True):
        while at < len(changes) and changes[at]["last_update_id"] <= update:
            levels[changes[at]["side"], changes[at]["price"]] = changes[at]["qty"]
            at += 1
        for row, side in enumerate(SIDES):
            there = [
                (round(float(at) * 100), round(float(size) * 1000))
                for (which, at), size in levels.items()
                if which == side and float(size)
            ]
            best = sorted(there, reverse=side == "b")[:LEVELS]
            best += [(NOTHING["price"], NOTHING["quantity"])] * (LEVELS - len(best))
            assert list(zip(price[row].tolist(), quantity[row].tolist(), strict=True)) == best
    assert at == len(changes)
    return depth.rows


def draw(depth: sz.stream.Snapshot, path: str) -> None:
    """Draw how much there is at each price, and the best of both sides."""
    from matplotlib.figure import Figure

    time, price, quantity = (depth[name][:] for name in ("time", "price", "quantity"))
    there = quantity > 0
    figure = Figure(figsize=(10, 5), layout="constrained")
    axis = figure.subplots()
    times = np.broadcast_to(time[:, np.newaxis, np.newaxis], price.shape)
    dots = axis.scatter(
        times[there], price[there] / 100, c=quantity[there] / 1000, s=3, marker="s", cmap="viridis"
    )
    for row, side in enumerate(("bid", "ask")):
        best = np.where(there[:, row, 0], price[:, row, 0] / 100, np.nan)
        axis.step(time, best, where="post", linewidth=1, color=("tab:green", "tab:red")[row], label=side)
    axis.set(xlabel="time", ylabel="price", title=f"{LEVELS} levels of each side")
    axis.ticklabel_format(axis="y", useOffset=False)
    axis.legend()
    figure.colorbar(dots, label="quantity")
    figure.savefig(path, dpi=100)


def main() -> None:
    """Make the depth, compare it, and draw it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("updates", nargs="?", help="A CSV file; without one the book is made up.")
    parser.add_argument("--picture", help="Draw the depth to this file.")
    arguments = parser.parse_args()
    changes = list(recorded(arguments.updates) if arguments.updates else made_up())
    with tempfile.TemporaryDirectory() as folder:
        depth = fold(ingest(folder, changes), f"{folder}/depth.zarr")
        print(depth["price"].shape, "rows x side x level")
        print(f"{check(depth, changes)} states of the book, each is what {len(changes)} changes come to")
        if arguments.picture:
            draw(depth, arguments.picture)
            print(f"drew {arguments.picture}")


if __name__ == "__main__":
    main()
