"""The layout ``windows``: records are gathered in windows of event time, and each that is closed is a row.

=============  ===========================================================================
``config``     the table ``[window]``; ``spec``: what it comes to
``values``     what several values of a window come to, in any order and in parts
``fold``       windows that are open: records in, rows out
``kept``       the windows that are open at a commit, in an object beside the stream
``partition``  a partition's windows on their way into its stream
``check``      whether each record is in a window, that is closed or open
=============  ===========================================================================

The windows are the flow's (:mod:`streamzarr.flow.windows`). What is open is a part of each commit: it is put
first, and the position names it. So whoever goes on has the windows as they were, and reads no record again.
"""
