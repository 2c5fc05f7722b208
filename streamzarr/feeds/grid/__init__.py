"""The layout ``grid``: time x key x field at a fixed step, a slot for each, whatever its records come to.

=============  ===========================================================================
``spec``       :class:`GridSpec`: step, keys, and what becomes of several values in a slot
``values``     one value for a slot: the last, the mean, ...; ``fold``: slots that are open
``late``       records that come when their slots are closed; ``reserved``: which may
``shape``      slots as rows: planes of all keys, or bars
``partition``  a partition's slots on their way into its stream
``read``       :func:`open_grid`: the slots of all partitions
=============  ===========================================================================

A row of the stream is one slot of time with all keys. It is written when it is closed: when a record has come
that is later by more than the allowed lateness. The position says up to where records were read, and from
where on they are to be read again to have the open slots; so each record is in its slot exactly once.
"""
