"""What was fetched and not asked for yet."""

from __future__ import annotations

from collections.abc import Callable, Collection

from streamzarr.queue.columns import Columns, Portion
from streamzarr.queue.record import TopicPartition


class Backlog:
    """Runs of records in the order in which they came. Owned by one thread; pure state."""

    def __init__(self) -> None:
        self._runs: list[Columns] = []
        self._counted = self._nbytes = 0  # the first runs, and their bytes
        self.records = 0
        """How many records wait."""

    @property
    def nbytes(self) -> int:
        """Bytes of their values, keys and headers; counted when asked for: it is most of the work here."""
        self._nbytes += sum(run.nbytes for run in self._runs[self._counted :])
        self._counted = len(self._runs)
        return self._nbytes

    def add(self, run: Columns) -> None:
        """Put `run` behind the others."""
        self.records += len(run)
        last = self._runs[-1] if self._runs else None
        if last is not None and len(last) == 1 and last.where == run.where:
            # Whoever waits for records gets one first, and then the rest.
            self._set([*self._runs[:-1], last.joined(run)])
        else:
            self._runs.append(run)

    def keep(self, wanted: Callable[[TopicPartition], bool]) -> None:
        """Forget the records of all partitions but those that are `wanted`."""
        self._set([run for run in self._runs if wanted(run.where)])

    def take(
        self, max_records: int, max_bytes: int | None, held: Collection[TopicPartition]
    ) -> list[Columns]:
        """Take the first records within these bounds, but none of the partitions that are `held`.

        A partition's are one run, for who works on runs pays for each: a fetch brings hundreds of records,
        and there may be a hundred fetches.
        """
        portion = Portion(max_records, max_bytes)
        left = []
        for run in self._runs:
            rest = run if run.where in held else portion.take(run)
            if rest is not None:
                left.append(rest)
        self._set(left)
        together: dict[TopicPartition, list[Columns]] = {}
        for run in portion.runs:
            together.setdefault(run.where, []).append(run)
        return [first.joined(*others) for first, *others in together.values()]

    def without(self, held: Collection[TopicPartition]) -> Backlog:
        """Return what waits but of the partitions that are `held`."""
        if not held:
            return self
        others = Backlog()
        others._set([run for run in self._runs if run.where not in held])
        return others

    def partitions(self) -> set[TopicPartition]:
        """Return the partitions of which records wait."""
        return {run.where for run in self._runs}

    def _set(self, runs: list[Columns]) -> None:
        self._runs = runs
        self._counted = self._nbytes = 0
        self.records = sum(map(len, runs))
