"""Records that were bad, became dead letters, and come again by a replay: each is put in its place, once.

============  =============================================================================
``places``    which records are replays, and of which offsets
``stream``    :class:`Replayed`: the rows of a partition that came so, in a stream beside it
``read``      :func:`read_in_place`: rows of a partition with those that were replayed among them
============  =============================================================================

What is committed in a stream never changes, so a row that comes later cannot be put between others; and a
slot of a grid that is closed stays as it is. The place of a bad record is its offset, of which there is no
row: that is its reservation. The stream beside the partition's says which offsets have been filled by which
record, and readers put its rows in their places.
"""
