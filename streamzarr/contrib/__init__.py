"""Bridges to other frameworks; each needs the extra of its name, and nothing else imports it.

===========  =====================================================================================
``faust``    :class:`~streamzarr.contrib.faust.FeedSink`: what agents of Faust yield, as a feed's rows
``claims``   the partitions of a feed whose records another library's consumer reads
===========  =====================================================================================
"""
