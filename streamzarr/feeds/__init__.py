"""Feeds: topics become growing arrays.

==============  =============================================================================
``columns``     :class:`~streamzarr.feeds.columns.ColumnSpec`: what a column holds
``decode``      from the bytes of messages to columns, by the format of the topic
==============  =============================================================================
"""
