"""Group transactions on random schedules: never two owners, no lost partition, and it settles."""

import sqlite3

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streamzarr.queue.embedded import group, log
from streamzarr.queue.embedded.database import _NOTES, _SCHEMA

PARTITIONS = 5


class GroupModel(RuleBasedStateMachine):
    """Members take their steps in any order; some stop taking any and are declared dead later, or never."""

    def __init__(self):
        super().__init__()
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        self.db.executescript(_SCHEMA + _NOTES)
        log.create_topic(self.db, "t", PARTITIONS)
        self.names = iter(range(10**6))
        self.group = None
        self.members = {}  # what each member believes it owns: {partition: row id}
        self.zombies = {}
        self.committed = {}

    def teardown(self):
        self.db.close()

    def some(self, data, of):
        return data.draw(st.sampled_from(sorted(of)))

    @precondition(lambda self: len(self.members) < 6)
    @rule()
    def join(self):
        name = f"m{next(self.names)}"
        self.group = group.join(self.db, "g", name, ["t"], 10.0)
        self.members[name] = {}

    @precondition(lambda self: self.members)
    @rule(data=st.data())
    def leave(self, data):
        name = self.some(data, self.members)
        del self.members[name]
        group.remove(self.db, self.group, [name])

    @precondition(lambda self: self.members)
    @rule(data=st.data())
    def declared_dead(self, data):
        name = self.some(data, self.members)
        self.zombies[name] = self.members.pop(name)
        group.remove(self.db, self.group, [name])

    @precondition(lambda self: self.members)
    @rule(data=st.data())
    def step(self, data):
        self.take_step(self.some(data, self.members))

    def take_step(self, name):
        held = self.members[name]
        view = group.view(self.db, self.group, name)
        assert view.member
        assert dict(view.owned) == held, "what a live member believes is true"
        unwanted = [partition for partition in held if partition not in view.wanted]
        if unwanted:
            group.release(self.db, self.group, name, [held.pop(partition) for partition in unwanted])
        taken = group.claim(self.db, self.group, name, held.values())
        for partition, (id_, start) in taken.items():
            assert start == self.committed.get(partition, 0), "begins where the last owner committed"
            held[partition] = id_

    @precondition(lambda self: any(self.members.values()))
    @rule(data=st.data(), offset=st.integers(0, 99))
    def owner_commits(self, data, offset):
        name = self.some(data, [name for name, held in self.members.items() if held])
        partition = self.some(data, self.members[name])
        assert group.commit(self.db, self.group, name, {self.members[name][partition]: offset}, {}) == []
        self.committed[partition] = offset

    @precondition(lambda self: any(self.zombies.values()))
    @rule(data=st.data())
    def zombie_commits(self, data):
        name = self.some(data, [name for name, held in self.zombies.items() if held])
        ids = list(self.zombies[name].values())
        assert group.commit(self.db, self.group, name, dict.fromkeys(ids, 777), {}) == ids
        assert group.claim(self.db, self.group, name, ()) == {}
        group.release(self.db, self.group, name, ids)

    @precondition(lambda self: self.members)
    @rule()
    def it_settles_evenly_in_two_rounds(self):
        for _ in range(2):  # all give up, then all take
            for name in self.members:
                self.take_step(name)
        counts = [len(held) for held in self.members.values()]
        assert sum(counts) == PARTITIONS
        assert max(counts) - min(counts) <= 1

    @invariant()
    def a_partition_has_at_most_one_believer_among_the_living(self):
        held = [partition for owned in self.members.values() for partition in owned]
        assert len(held) == len(set(held))

    @invariant()
    def commits_are_what_owners_said(self):
        assert group.committed(self.db, "g") == self.committed


TestGroupModel = GroupModel.TestCase
TestGroupModel.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
