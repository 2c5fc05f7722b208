"""Ours: a feed."""

import numpy as np
from ingest.trial import COMMIT_EVERY, Trial, Watch
from ingest.watched import Onlooker, run_watched
from ingest.workloads import CHUNK_ROWS, LEVEL, TICK, W2

from streamzarr.feeds import Feed
from streamzarr.flow import Stop
from streamzarr.stream import open_streams


def feed_of(trial: Trial) -> Feed:
    fields = {name: TICK[name].str for name in TICK.names or ()}
    packed = {"format": "struct", "dtype": list(map(list, fields.items()))}
    codec = [{"name": "zstd", "configuration": {"level": LEVEL}}]
    return Feed.of(
        {
            "source": {"broker": f"kafka://{trial.servers}", "topics": [trial.topic], "group": trial.group},
            "decode": {"format": "json"} if trial.workload is W2 else packed,
            "columns": {
                **{name: {"dtype": dtype, "compressors": codec} for name, dtype in fields.items()},
                "offset": {"dtype": "i8", "from": "@offset", "sorted": True, "compressors": codec},
            },
            "target": {
                "url": trial.folder,
                "chunk_rows": CHUNK_ROWS,
                "commit": {"seconds": COMMIT_EVERY},
            },
        }
    )


class Timed(Onlooker):
    """Stops the feed when it has taken everything; the commit that follows ends the trial."""

    def __init__(self, trial: Trial) -> None:
        self.watch, self.stop = Watch(trial), Stop()

    def took(self, records: int) -> None:
        self.watch.took(records)
        if not self.watch.left:
            self.stop.drain(60.0)

    def committed(self, positions: object) -> None:
        if not self.watch.left:
            self.watch.end()


def main() -> None:
    trial = Trial.given()
    timed = Timed(trial)
    run_watched(feed_of(trial), timed.stop, timed)
    parts = open_streams(trial.folder).values()
    total = sum(float(np.asarray(part["size"][:]).sum()) for part in parts)
    timed.watch.tell(sum(part.rows for part in parts), total)


if __name__ == "__main__":
    main()
