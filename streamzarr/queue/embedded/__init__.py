"""The embedded broker: topics in one SQLite file, shared by the processes of one machine.

==============  ======================================================================
``broker``      `EmbeddedBroker`: topics, offsets, groups; makes the three below
``producer``    writes records, many to a transaction
``consumer``    member of a group; ``reader`` reads without one
``fetch``       positions of partitions, and the records from there on
``group``       membership, ownership, committed offsets: transactions
``assignment``  which member should own which partition: a pure plan
``log``         topics and batches of records: SQL and the format of a batch
``presence``    who is alive, and how to wake it: FIFOs and heartbeats
``database``    the SQLite file: schema, transactions, errors, fork
==============  ======================================================================

Several processes on one machine may use one file; a network file system is not supported, because
SQLite's write-ahead log needs shared memory (https://www.sqlite.org/wal.html).
"""
