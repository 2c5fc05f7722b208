"""Explicit-state exploration of real code: every order in which several processes use one store.

A process is a function of a store. Its state is what the store has answered so far, so to go on with it the
function runs from its beginning on a store that repeats those answers, and stops at the first call for which
there is none. No thread and no copy of a stack is needed, and two orders that lead to the same answers and
the same content are one state.

A process that is not chosen for a while is one that was stopped; one that is never chosen again was killed.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from streamzarr.errors import KeyNotFoundError, PreconditionFailedError, StoreError
from streamzarr.runtime import SystemRuntime
from streamzarr.stores.base import Capabilities, DirListing, ObjectInfo, Store, StoredObject

_CAPABILITIES = Capabilities(conditional_put=True, atomic_put=True)


@dataclass(frozen=True, slots=True)
class Op:
    """A call of a store."""

    kind: str
    key: str
    data: bytes = b""
    if_match: str | None = None
    if_none_match: bool = False

    def __str__(self) -> str:
        condition = f" if {self.if_match}" if self.if_match else " if none" if self.if_none_match else ""
        return f"{self.kind} {self.key}{condition}"


class Pause(BaseException):
    """The process has come to a call that was not answered yet."""

    def __init__(self, op: Op) -> None:
        self.op = op


class ReplayStore(Store):
    """Repeats answers, and stops the process when there are no more."""

    url = "memory://replay"
    capabilities = _CAPABILITIES

    def __init__(self, answers: list[Any]) -> None:
        self._answers = iter(answers)

    def _ask(self, op: Op) -> Any:
        try:
            answer = next(self._answers)
        except StopIteration:
            raise Pause(op) from None
        if isinstance(answer, type):
            raise answer(f"{op}: {answer.__name__}")
        return answer

    def get(self, key: str, byte_range: Any = None) -> bytes:
        return self._ask(Op("fetch", key)).data

    def fetch(self, key: str) -> StoredObject:
        return self._ask(Op("fetch", key))

    def fetch_limited(self, key: str, limit: int) -> StoredObject:
        return self.fetch(key)

    def head(self, key: str) -> ObjectInfo:
        return self._ask(Op("head", key))

    def put(self, key: str, data: Any, *, if_match: Any = None, if_none_match: bool = False) -> str:
        return self._ask(Op("put", key, bytes(data), if_match, if_none_match))

    def delete(self, key: str, *, if_match: Any = None) -> None:
        self._ask(Op("delete", key, if_match=if_match))

    def list(self, prefix: str = "") -> Iterator[str]:
        return (key for key, _ in self.list_sizes(prefix))

    def list_sizes(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        return iter(self._ask(Op("list", prefix)))

    def list_dir(self, prefix: str = "") -> DirListing:
        raise AssertionError("nothing is listed")


class ReplayRuntime(SystemRuntime):
    """Chance that is the same in each replay of a process, and another in each process."""

    def __init__(self, process: int) -> None:
        self._process, self._count = process, 0

    def now(self) -> float:
        return 1.0

    def wall_ns(self) -> int:
        return 1

    def random_bytes(self, count: int) -> bytes:
        self._count += 1
        seed = f"{self._process} {self._count}".encode()
        return (hashlib.sha256(seed).digest() * (count // 32 + 1))[:count]


Content = dict[str, StoredObject]
Main = Callable[[Store, int, Callable[[Any], None]], None]
"""What a process does: with its store and its number; it tells events to the function."""


@dataclass(slots=True)
class Node:
    """A process after some answers: its next call, or None at its end, and what it has told."""

    op: Op | None
    told: tuple[Any, ...]
    serial: int
    next: dict[Any, Node] = field(default_factory=dict)
    answers: list[Any] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class State:
    """One state of the whole: contents, processes, puts under way, and how many faults may still happen."""

    content: tuple[tuple[str, StoredObject], ...]
    processes: tuple[int, ...]
    late: tuple[tuple[Op, str], ...]
    faults: int


class ViolationError(AssertionError):
    """Some order of events breaks an invariant."""


class Exploration:
    """All states that can be reached from `start`.

    Parameters
    ----------
    main, processes
        What each of so many processes does.
    faults
        How many calls may fail: a read, or a put that is carried out at once, later or never.
    content_etags
        Etags are made of the content, as object stores make them; else each put has a new one.
    invariant
        Called at each step with the contents before and after and what the process tells; raises
        ``AssertionError``.
    """

    def __init__(
        self,
        start: Content,
        main: Main,
        processes: int,
        invariant: Callable[[Content, Content, tuple[Any, ...]], None],
        *,
        faults: int = 0,
        content_etags: bool = False,
        max_states: int = 10_000_000,
    ) -> None:
        self._main, self._invariant, self._content_etags = main, invariant, content_etags
        self._max_states = max_states
        self._nodes: list[Node] = []
        roots = tuple(self._node(number, []).serial for number in range(processes))
        if content_etags:
            start = {key: StoredObject(each.data, _hash(each.data)) for key, each in start.items()}
        self._start = State(tuple(sorted(start.items())), roots, (), faults)
        self._parents: dict[State, tuple[State | None, str]] = {self._start: (None, "")}

    def run(self) -> int:
        """Visit every state; return how many there are."""
        todo = deque([self._start])
        while todo:
            state = todo.popleft()
            content = dict(state.content)
            for label, after, told in self._steps(state, content):
                known = after in self._parents
                if not known:
                    self._parents[after] = state, label
                    todo.append(after)
                if told or after.content != state.content:
                    try:
                        self._invariant(content, dict(after.content), told)
                    except AssertionError as error:
                        story = "\n".join([*self._story(state), label])
                        raise ViolationError(f"{error}\n{story}") from error
            assert len(self._parents) <= self._max_states, "more states than expected"
        return len(self._parents)

    def _steps(self, state: State, content: Content) -> Iterator[tuple[str, State, tuple[Any, ...]]]:
        for number, serial in enumerate(state.processes):
            node = self._nodes[serial]
            if node.op is not None:
                yield from self._of_process(state, content, number, node, node.op)
            if not node.answers and node.op is not None:
                break  # processes are alike: the next one starts after this one
        for at, (op, etag) in enumerate(state.late):
            rest = state.late[:at] + state.late[at + 1 :]
            after, _ = _carried_out(content, op, etag)
            yield f"late: {op}", State(_frozen(after), state.processes, rest, state.faults), ()

    def _of_process(
        self, state: State, content: Content, number: int, node: Node, op: Op
    ) -> Iterator[tuple[str, State, tuple[Any, ...]]]:
        etag = _hash(op.data) if self._content_etags else f"{number}.{node.serial}"

        def step(how: str, after: Content, answer: Any, late: Any, faults: int) -> Any:
            gone = self._after(number, node, answer)
            processes = (*state.processes[:number], gone.serial, *state.processes[number + 1 :])
            told = gone.told[len(node.told) :]
            label = f"{number}: {op}{how} -> {_shown(answer)} {told or ''}"
            return label, State(_frozen(after), processes, late, faults), told

        after, answer = _carried_out(content, op, etag)
        yield step("", after, answer, state.late, state.faults)
        if state.faults:
            left = state.faults - 1
            if op.kind in ("put", "delete"):
                yield step(" (answer lost)", after, StoreError, state.late, left)
                late = tuple(sorted([*state.late, (op, etag)], key=str))
                yield step(" (late)", content, StoreError, late, left)
            else:
                yield step(" (failed)", content, StoreError, state.late, left)

    def _after(self, number: int, node: Node, answer: Any) -> Node:
        key = (answer.data, answer.etag) if isinstance(answer, StoredObject) else answer
        found = node.next.get(key)
        if found is None:
            found = node.next[key] = self._node(number, [*node.answers, answer])
        return found

    def _node(self, number: int, answers: list[Any]) -> Node:
        told: list[Any] = []
        op: Op | None = None
        try:
            self._main(ReplayStore(answers), number, told.append)
        except Pause as pause:
            op = pause.op
        node = Node(op, tuple(told), len(self._nodes), answers=answers)
        self._nodes.append(node)
        return node

    def _story(self, state: State) -> list[str]:
        story = []
        before: State | None = state
        while before is not None:
            before, label = self._parents[before]
            story.append(label)
        return [*reversed(story[:-1])]


def _carried_out(content: Content, op: Op, etag: str) -> tuple[Content, Any]:
    found = content.get(op.key)
    match op.kind:
        case "fetch":
            return content, KeyNotFoundError if found is None else found
        case "head":
            return content, KeyNotFoundError if found is None else ObjectInfo(len(found.data), found.etag)
        case "list":
            prefix = f"{op.key}/" if op.key else ""
            below = (item for item in content.items() if item[0].startswith(prefix))
            return content, tuple(sorted((key, len(each.data)) for key, each in below))
        case "delete" if op.if_match is None:
            return {key: each for key, each in content.items() if key != op.key}, None
    refused = (op.if_none_match and found is not None) or (
        op.if_match is not None and (found is None or found.etag != op.if_match)
    )
    if refused:
        return content, PreconditionFailedError
    return content | {op.key: StoredObject(op.data, etag)}, etag


def _hash(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def _frozen(content: Content) -> tuple[tuple[str, StoredObject], ...]:
    return tuple(sorted(content.items()))


def _shown(answer: Any) -> str:
    return answer.__name__ if isinstance(answer, type) else getattr(answer, "etag", answer)
