"""Several targets against a count of rows, however lives end, and whatever the next one is told."""

from hypothesis import given, settings
from hypothesis import strategies as st

from streamzarr.errors import NodeNotFoundError, StoreError
from streamzarr.feeds.check import misplaced
from streamzarr.feeds.places import target_path
from streamzarr.stream import open_stream
from tests.support.routes import WHERE, RouteBench, routed

TOLD = [
    {"targets": 2},
    {"targets": 5},
    {"targets": 2, "other": "rest"},
    {"targets": ["a", "c"], "other": "rest"},
    {"targets": ["b"], "other": "misc"},
]
LAST = {"targets": 9, "other": "rest"}

steps = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.integers(1, 9)),
        st.tuples(st.just("commit"), st.just(0)),
        st.tuples(
            st.just("fail"), st.sampled_from(["/zarr.json", "by/a/p00000/zarr.json", "by/c/p00000/zarr.json"])
        ),
        st.tuples(st.just("part"), st.integers(0, 7)),
        st.tuples(st.just("life"), st.sampled_from(TOLD)),
    ),
    max_size=25,
)


class Lives:
    def __init__(self, names, told):
        self.bench, self.count = RouteBench(), len(names)
        self.bench.send(*names)
        self.begin(told)

    def begin(self, route):
        self.life = self.bench.life(
            routed(route={"by": "s", **route}, target={"max_bytes": 30_000, "chunk_rows": 400})
        )
        self.at = self.bench.begins

    def take(self, count):
        stop = min(self.count, self.at + count)
        if stop > self.at:
            self.bench.take(self.life, self.at, stop)
            self.at = stop

    def fail(self, key):
        self.bench.store.failing = key
        try:
            self.take(3)
            self.life.commit({WHERE: self.at})
        except StoreError:
            pass
        self.bench.store.failing = ""

    def part(self, which):
        """Commit some targets and not the ledger, as a life does that is ended meanwhile."""
        for number, target in enumerate(self.life.owned[WHERE]._open.values()):
            if which >> number & 1:
                target.commit(target.position)

    def rows(self):
        """Return the offsets in each target."""
        found = {}
        for name in open_stream(self.bench.store, "p00000")["target"][:].tolist():
            try:
                found[name] = open_stream(self.bench.store, target_path(name, "p00000"))
            except NodeNotFoundError:
                continue
        return found


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sampled_from(["a", "b", "c", "d", "e", ""]), min_size=1, max_size=40),
    st.sampled_from(TOLD),
    steps,
)
def test_each_record_is_in_one_target_or_has_a_letter(names, told, given_steps):
    lives = Lives(names, told)
    for what, value in given_steps:
        match what:
            case "take":
                lives.take(value)
            case "commit":
                lives.life.commit({WHERE: lives.at})
            case "fail":
                lives.fail(value)
            case "part":
                lives.part(value)
            case _:
                lives.begin(value)
    if not {"rest", "misc"} & set(open_stream(lives.bench.store, "p00000")["target"][:].tolist()):
        lives.begin(LAST)
    lives.take(lives.count)
    lives.life.commit({WHERE: lives.count})
    ledger = open_stream(lives.bench.store, "p00000")
    assert ledger.position == lives.count
    starts = dict(zip(ledger["target"][:].tolist(), ledger["start"][:].tolist(), strict=True))
    assert len(starts) == ledger.rows
    there = []
    for name, stream in lives.rows().items():
        offsets = stream["offset"][:]
        assert (offsets[1:] > offsets[:-1]).all()
        assert stream["s"][:].tolist() == [names[offset] for offset in offsets]
        assert not len(misplaced(name, stream["s"][:].tolist(), offsets, starts))
        there += offsets.tolist()
    assert len(there) == len(set(there))
    assert set(there) | lives.bench.letters.keys() == set(range(lives.count))
