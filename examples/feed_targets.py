"""Sensors on one topic, an array for each: a feed with several targets, and a record that is mended later.

python examples/feed_targets.py

Makes readings up, one of them without a number, sends them to an embedded broker, and lets a feed put each
into the target that its sensor names. Then the reading is told to be a gap, its dead letter is replayed, and
each target is compared with what was sent.
"""

import json
import tempfile
from pathlib import Path

import numpy as np

import streamzarr as sz
from streamzarr.queue import DeadLetterQueue, NewRecord

SENSORS = ("buoy/44025", "buoy/46042", "mast")
READINGS = 900
BROKEN = 411


def readings() -> list[dict]:
    """Return readings of all sensors in turn, a second apart."""
    chance = np.random.default_rng(3)
    found = [
        {"ts": 1_767_225_600 + number, "sensor": SENSORS[number % 3], "value": round(float(value), 3)}
        for number, value in enumerate(chance.normal(12, 3, READINGS))
    ]
    found[BROKEN]["value"] = "broken"
    return found


def feed(folder: Path, **value: object) -> dict:
    """Return the feed; `value` is what else its column of values is told."""
    return {
        "source": {"broker": f"sqlite:///{folder}/queue.db", "topics": ["readings"]},
        "decode": {"format": "json"},
        "columns": {
            "time": {"dtype": "datetime64[s]", "from": "ts", "unit": "s", "sorted": True},
            "sensor": "string",
            "value": {"dtype": "f8", **value},
        },
        "route": {"by": "sensor", "targets": 10},
        "target": {"url": str(folder / "sensors.zarr")},
    }


def ingest(told: dict) -> None:
    """Run the feed until it has all that there is."""
    with sz.FeedFleet(told) as fleet:
        fleet.wait_caught_up(timeout=120)


def main() -> None:
    """Send, ingest, mend, and compare."""
    given = readings()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with sz.open_broker(f"sqlite:///{folder}/queue.db") as broker:
            broker.create_topic("readings")
            with broker.producer() as producer:
                producer.send("readings", [NewRecord(json.dumps(each).encode()) for each in given])
            ingest(feed(folder))
            letters = DeadLetterQueue(broker, "readings.dead")
            for _, letter in letters.read():
                print(f"offset {letter.offset}: {letter.message}")
            letters.replay(letters.read())
            ingest(feed(folder, missing=["broken"], required=False))
        for sensor, parts in sz.feeds.open_targets(str(folder / "sensors.zarr")).items():
            values = sz.feeds.read_in_place(parts["p00000"])["value"]
            expected = [each["value"] for each in given if each["sensor"] == sensor]
            expected = [np.nan if value == "broken" else value for value in expected]
            np.testing.assert_array_equal(values, expected)
            print(f"{sensor}: {len(values)} readings")
    print(f"each of {len(given)} readings is where it belongs")


if __name__ == "__main__":
    main()
