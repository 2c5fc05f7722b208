"""Feeds: topics become arrays that grow, every record in them exactly once, readable at any moment.

=============  ==================================================================================
``config``     :class:`Feed`: what a feed is told, in TOML or Python; ``tables``; ``toml``: where a mistake is
``columns``    :class:`ColumnSpec`: what a column is, and where in a record its values are
``decode``     messages in, columns out
``rows``       columns of a run of records, with what the records say of themselves
``partition``  the rows of one partition on their way into its stream
``route``      the same for several targets
``grid``       the same for slots of time x key; ``times``: which times can be taken
``windows``    the same for windows of event time
``begin``      whether and where a partition goes on; ``takeover``: becoming its owner
``committer``  the partitions that are ours: what they take, and their commits
``places``     which stream is a partition's, and which topic its rows are from
``letters``    bad records; ``replayed``: those that came again
``worker``     :func:`run_feed`: all of it together, until told to stop; ``meter``: how it does
``target``     what is there, for those who come later: ``status``, ``check``, ``follow``, ``progress``
``propose``    a configuration from a look at a topic
=============  ==================================================================================
"""

from streamzarr.feeds.check import check_feed
from streamzarr.feeds.columns import ColumnSpec
from streamzarr.feeds.config import Feed
from streamzarr.feeds.found import PartitionCheck
from streamzarr.feeds.grid.read import Grid, open_grid
from streamzarr.feeds.replayed.read import read_in_place
from streamzarr.feeds.route.read import open_targets
from streamzarr.feeds.status import FeedStatus, feed_status
from streamzarr.feeds.worker import run_feed

__all__ = [
    "ColumnSpec",
    "Feed",
    "FeedStatus",
    "Grid",
    "PartitionCheck",
    "check_feed",
    "feed_status",
    "open_grid",
    "open_targets",
    "read_in_place",
    "run_feed",
]
