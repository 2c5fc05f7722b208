"""Consumer groups without a coordinator: each member does its part in transactions on the database.

Every partition of a group has an *owner*, the only member whose commits are accepted, and a *target*,
the member that should be the owner. Whoever joins, leaves or finds a dead member plans new targets in the
same transaction. A partition whose target is another member is given up by its owner, once it has drained
(`release`), and taken by its target when it has no owner (`claim`). So a partition never has two owners,
and one that does not move is never interrupted: cooperative rebalancing, as in KIP-848.

A member is one join of one consumer. When it is found dead its row is deleted; if it was only stopped, it
finds out at its next poll or commit and joins again under a new name.

All functions want a connection inside a transaction; those that change something, a write transaction.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from streamzarr.queue.base import TopicPartition
from streamzarr.queue.embedded import log, presence
from streamzarr.queue.embedded.assignment import plan_assignment


@dataclass(frozen=True, slots=True)
class View:
    """What one member sees of its group. Partitions are given with their row ids."""

    generation: int
    member: bool
    """False when the others have declared it dead."""
    owned: Mapping[TopicPartition, int]
    wanted: Mapping[TopicPartition, int]
    """Those that it should own in the end."""
    free: Mapping[TopicPartition, int]
    """Those of `wanted` that no other member owns."""


def join(
    db: sqlite3.Connection, group: str, member: str, topics: Sequence[str], session_timeout: float
) -> int:
    """Add a member and return the group's id."""
    db.execute("INSERT OR IGNORE INTO groups (name) VALUES (?)", (group,))
    (id_,) = db.execute("SELECT id FROM groups WHERE name = ?", (group,)).fetchone()
    db.execute(
        "INSERT INTO members VALUES (?, ?, ?, ?)",
        (member, id_, json.dumps(list(topics)), round(session_timeout * 1000)),
    )
    replan(db, id_)
    return int(id_)


def remove(db: sqlite3.Connection, group: int, leavers: Iterable[str]) -> None:
    """Take out members that leave or are dead; what they owned is free at once."""
    gone = [(member,) for member in leavers]
    db.executemany("DELETE FROM members WHERE id = ?", gone)
    db.executemany("UPDATE assignments SET owner = NULL WHERE owner = ?", gone)
    replan(db, group)


def id_of(db: sqlite3.Connection, name: str) -> int | None:
    """Return the id of the group of this name; None when nobody has joined it yet."""
    row = db.execute("SELECT id FROM groups WHERE name = ?", (name,)).fetchone()
    return None if row is None else int(row[0])


def owners(db: sqlite3.Connection, group: int, topic: str) -> dict[int, str]:
    """Return the owner of each partition of `topic` that has one, in the order of partitions."""
    rows = db.execute(
        "SELECT p.number, a.owner FROM assignments a JOIN partitions p ON a.partition = p.id "
        "JOIN topics t ON p.topic = t.id "
        "WHERE a.grp = ? AND t.name = ? AND a.owner IS NOT NULL ORDER BY p.number",
        (group, topic),
    )
    return dict(rows.fetchall())


def members(db: sqlite3.Connection, group: int) -> dict[str, float]:
    """Return the session timeout of each member, in seconds."""
    rows = db.execute("SELECT id, session_ms FROM members WHERE grp = ?", (group,))
    return {member: session / 1000 for member, session in rows}


def dead_members(db: sqlite3.Connection, group: int, live: str, now: float) -> list[str]:
    """Return the members whose process is gone or has given no sign for its session timeout."""
    return [
        member
        for member, session_timeout in members(db, group).items()
        if not presence.is_alive(live, member, session_timeout, now)
    ]


def replan(db: sqlite3.Connection, group: int) -> None:
    """Plan who should own what, given who is there now."""
    subscriptions = {
        member: json.loads(topics)
        for member, topics in db.execute("SELECT id, topics FROM members WHERE grp = ?", (group,))
    }
    ids = {
        TopicPartition(topic, number): state.id
        for topic in sorted({topic for topics in subscriptions.values() for topic in topics})
        for number, state in log.partitions_of(db, topic).items()
    }
    holders = {
        partition: (owner, target)
        for partition, owner, target in db.execute(
            "SELECT partition, owner, target FROM assignments WHERE grp = ?", (group,)
        )
    }
    current = {}
    for partition, id_ in ids.items():
        owner, target = holders.get(id_, (None, None))
        current[partition] = target if target in subscriptions else owner
    plan = plan_assignment(subscriptions, ids, current)

    db.execute("UPDATE assignments SET target = NULL WHERE grp = ?", (group,))
    db.executemany(
        "INSERT INTO assignments (grp, partition, target) VALUES (?, ?, ?) "
        "ON CONFLICT (grp, partition) DO UPDATE SET target = excluded.target",
        [(group, ids[partition], member) for partition, member in plan.items()],
    )
    db.execute("DELETE FROM assignments WHERE grp = ? AND owner IS NULL AND target IS NULL", (group,))
    _next_generation(db, group)


def replan_all(db: sqlite3.Connection) -> None:
    """Plan every group that has members again, after topics have changed."""
    for (group,) in db.execute("SELECT DISTINCT grp FROM members").fetchall():
        replan(db, group)


def view(db: sqlite3.Connection, group: int, member: str) -> View:
    """Return what `member` owns and should own."""
    (generation,) = db.execute("SELECT generation FROM groups WHERE id = ?", (group,)).fetchone()
    known = db.execute("SELECT 1 FROM members WHERE id = ?", (member,)).fetchone() is not None
    owned, wanted, free = {}, {}, {}
    for topic, number, id_, owner, target in db.execute(
        "SELECT t.name, p.number, p.id, a.owner, a.target FROM assignments a "
        "JOIN partitions p ON a.partition = p.id JOIN topics t ON p.topic = t.id "
        "WHERE a.grp = ? AND ? IN (a.owner, a.target) ORDER BY t.name, p.number",
        (group, member),
    ):
        partition = TopicPartition(topic, number)
        if owner == member:
            owned[partition] = id_
        if target == member:
            wanted[partition] = id_
            if owner is None or owner == member:
                free[partition] = id_
    return View(generation, known, owned, wanted, free)


def generation(db: sqlite3.Connection, group: int) -> int:
    """Return the number that grows with every change of membership, plan or ownership."""
    (number,) = db.execute("SELECT generation FROM groups WHERE id = ?", (group,)).fetchone()
    return int(number)


def release(db: sqlite3.Connection, group: int, member: str, partitions: Collection[int]) -> None:
    """Give up partitions (row ids) that `member` owns."""
    db.executemany(
        "UPDATE assignments SET owner = NULL WHERE grp = ? AND partition = ? AND owner = ?",
        [(group, id_, member) for id_ in partitions],
    )
    db.execute("DELETE FROM assignments WHERE grp = ? AND owner IS NULL AND target IS NULL", (group,))
    _next_generation(db, group)


def claim(
    db: sqlite3.Connection, group: int, member: str, held: Collection[int]
) -> dict[TopicPartition, tuple[int, int]]:
    """Take what is free for `member` and not `held` by it yet (row ids).

    Returns row id and start position (the committed one, else the first) of each.
    """
    taken = {}
    for partition, id_ in view(db, group, member).free.items():
        if id_ in held:
            continue
        db.execute("UPDATE assignments SET owner = ? WHERE grp = ? AND partition = ?", (member, group, id_))
        (start,) = db.execute(
            "SELECT coalesce((SELECT position FROM committed WHERE grp = ? AND partition = p.id), p.first) "
            "FROM partitions p WHERE p.id = ?",
            (group, id_),
        ).fetchone()
        taken[partition] = (id_, start)
    if taken:
        _next_generation(db, group)
    return taken


def commit(
    db: sqlite3.Connection, group: int, member: str, positions: Mapping[int, int], notes: Mapping[int, str]
) -> list[int]:
    """Store positions and notes by row id for what `member` owns; return the ids of what it does not own."""
    owned = {
        id_
        for (id_,) in db.execute(
            "SELECT partition FROM assignments WHERE grp = ? AND owner = ?", (group, member)
        )
    }
    db.executemany(
        "INSERT INTO committed VALUES (?, ?, ?) "
        "ON CONFLICT (grp, partition) DO UPDATE SET position = excluded.position",
        [(group, id_, offset) for id_, offset in positions.items() if id_ in owned],
    )
    db.executemany(
        "INSERT INTO notes VALUES (?, ?, ?) ON CONFLICT (grp, partition) DO UPDATE SET note = excluded.note",
        [(group, id_, notes[id_]) for id_ in positions if id_ in owned and id_ in notes],
    )
    db.executemany(
        "DELETE FROM notes WHERE grp = ? AND partition = ?",
        [(group, id_) for id_ in positions if id_ in owned and id_ not in notes],
    )
    return [id_ for id_ in positions if id_ not in owned]


def committed(db: sqlite3.Connection, group: str) -> dict[TopicPartition, int]:
    """Return the committed positions of a group; empty when there is no such group."""
    rows = db.execute(
        "SELECT t.name, p.number, c.position FROM committed c JOIN groups g ON c.grp = g.id "
        "JOIN partitions p ON c.partition = p.id JOIN topics t ON p.topic = t.id WHERE g.name = ? "
        "ORDER BY t.name, p.number",
        (group,),
    )
    return {TopicPartition(topic, number): offset for topic, number, offset in rows}


def notes(db: sqlite3.Connection, group: int, ids: Collection[int]) -> dict[int, str]:
    """Return what `group` has kept with its positions, by row id."""
    return {
        id_: note
        for id_, note in db.execute("SELECT partition, note FROM notes WHERE grp = ?", (group,))
        if id_ in ids
    }


def _next_generation(db: sqlite3.Connection, group: int) -> None:
    db.execute("UPDATE groups SET generation = generation + 1 WHERE id = ?", (group,))
