"""Several targets in one feed: each row goes into the target that a column of it names.

=============  ==============================================================================
``spec``       :class:`RouteSpec`: by which column, how many targets, and what becomes of others
``ledger``     the targets that there are, and the position of the partition
``partition``  the rows of one partition on their way into its targets
``read``       :func:`open_targets`: the targets, for readers
=============  ==============================================================================

Each target of a partition is a stream of its own, with its own position: below it all of its rows are there.
The partition's *ledger* names the targets and has the position where reading goes on. A commit puts the
targets that have new rows, then the ledger, so the ledger is never ahead: what is read again is skipped by
the targets that have it, and targets to which nothing came cost nothing.
"""
