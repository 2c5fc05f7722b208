"""Batches as a dataset of torch; importing this imports torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch.utils.data import IterableDataset, get_worker_info


class Epochs(Protocol):
    """What :class:`~streamzarr.data.batches.Batches` are to this file: numbered passes, in shares."""

    def __len__(self) -> int:
        """Return the number of batches of a pass."""

    def iterate(self, worker: int = 0, workers: int = 1) -> Iterator[Any]:
        """Return the share of one of several workers of the next pass."""

    def set_epoch(self, epoch: int) -> None:
        """Say which pass the next one is."""


class TorchBatches(IterableDataset):
    """An ``IterableDataset`` of tensors, or tuples of tensors, that own their memory. Picklable.

    In the workers of a ``DataLoader`` each gives its share of the epoch.
    """

    def __init__(self, source: Epochs) -> None:
        super().__init__()
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __iter__(self) -> Iterator[Any]:
        info = get_worker_info()
        share = self.source.iterate(info.id, info.num_workers) if info else self.source.iterate()
        for batch in share:
            if isinstance(batch, tuple):
                yield tuple([torch.from_numpy(part) for part in batch])
            else:
                yield torch.from_numpy(batch)

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next ``iter()`` is, before the loader sends this to its workers."""
        self.source.set_epoch(epoch)
