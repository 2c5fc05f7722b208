"""A dispatcher of one's own: the most urgent item next, whenever a worker is free."""

import heapq
import itertools

from streamzarr import flow
from streamzarr.flow import Demand, dispatch, ops


class Urgent(dispatch.Dispatcher):
    """Deals out the item with the smallest number first; of equal ones the oldest."""

    def __init__(self):
        super().__init__()
        self._heap = []
        self._numbers = itertools.count()

    def dispatch(self, items):
        """Take items from upstream."""
        for item in items:
            heapq.heappush(self._heap, (item.message.data[0], next(self._numbers), item))
        return self.serve()

    def serve(self):
        """Let go what consumers have asked for."""
        sent = []
        for consumer, asked in self.demands.items():
            if asked and self._heap:
                self.demands[consumer] -= 1
                sent.append((consumer, (heapq.heappop(self._heap)[2],)))
        return sent

    def retry(self, consumer, item):
        """Queue an item once more."""
        return self.dispatch([item])

    @property
    def demand(self):
        """How many items more would be taken."""
        return max(0, sum(self.demands.values()) - len(self._heap))

    @property
    def queued(self):
        """Items that wait."""
        return len(self._heap)

    def withdraw(self, belongs):
        """Take out what is not to be dealt out any more."""
        withdrawn = [entry[2] for entry in sorted(self._heap) if belongs(entry[2])]
        self._heap = [entry for entry in self._heap if not belongs(entry[2])]
        heapq.heapify(self._heap)
        return withdrawn


def main():
    """Give one worker ten items at once, and see in which order it takes them."""
    items = [(n * 7 % 10, f"item {n}") for n in range(10)]
    chain = flow.from_iterable(items, Demand(100)).pipe(ops.dispatch(lambda item: item, workers=1, by=Urgent))
    done = [message.data for message in flow.iter(chain)]
    print(" ".join(str(urgency) for urgency, _ in done))
    assert done == sorted(items)
    print("the most urgent came first")


if __name__ == "__main__":
    main()
