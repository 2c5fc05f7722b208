"""Batches of rows, for training and statistics: shuffled, shared by processes, read ahead, in bounded memory.

============  ==================================================================
``batches``   the loader: an iterable of batches, one pass an epoch
``order``     which rows come when, as arithmetic
``torch``     the same as an ``IterableDataset``; imports torch
============  ==================================================================
"""

from streamzarr.data.batches import Batches, batches

__all__ = ["Batches", "batches"]
