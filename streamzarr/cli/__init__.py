"""The command line: ``streamzarr --help``.

One module a group of commands; what they do is done by the layers below, and heavy packages are imported by
the commands that need them, so that ``--help`` and mistakes are answered at once.

======================  ===========================================================
``main``                the root command and the entry point
``failures``            from errors to one sentence and an exit code
``options``             options and parameter types that several commands share
``output``              tables and JSON
``arrays``              ``info``, ``tree``
``submit``              ``job submit copy``, ``map``, ``downsample``
``job``                 ``job status``, ``wait``, ``resume``, ``cancel``
``worker``              ``worker``, which ``workers/chunk_worker.py`` runs too
``dlq``                 ``dlq ls``, ``show``, ``replay``, ``drop``
``broker``              ``broker topics``, ``groups``, ``lag``
``demo``                ``demo``
======================  ===========================================================
"""
