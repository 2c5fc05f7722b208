"""A hierarchy, drawn as text or HTML."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TreeNode:
    """One node: its path below the root, and what to say about what is no group; None for a group."""

    path: str
    array: str | None


@dataclass(frozen=True, slots=True)
class Tree:
    """What ``group.tree()`` returns; ``print`` it, or show it in a notebook.

    >>> print(Tree("/", (TreeNode("a", "(3,) int32"), TreeNode("b", None), TreeNode("b/c", "(4,) bool"))))
    /
    ├── a (3,) int32
    └── b
        └── c (4,) bool
    """

    root: str
    nodes: tuple[TreeNode, ...]

    def __str__(self) -> str:
        below: dict[str, list[TreeNode]] = {}
        for node in sorted(self.nodes, key=lambda node: node.path):
            below.setdefault(node.path.rpartition("/")[0], []).append(node)
        return "\n".join([_printable(self.root), *_lines(below, "", "")])

    def _repr_html_(self) -> str:
        """Return the tree for notebooks; names are text in it, never markup."""
        from html import escape  # only here: importing it is slow

        return f"<pre>{escape(str(self))}</pre>"


def _lines(below: dict[str, list[TreeNode]], parent: str, indent: str) -> Iterator[str]:
    children = below.get(parent, [])
    for node in children:
        last = node is children[-1]
        name = _printable(node.path.rpartition("/")[2])
        shown = name if node.array is None else f"{name} {_printable(node.array)}"
        yield f"{indent}{'└── ' if last else '├── '}{shown}"
        yield from _lines(below, node.path, indent + ("    " if last else "│   "))


def _printable(name: str) -> str:
    r"""Return a name with control characters escaped: it must not drive a terminal, or look like two nodes.

    >>> _printable("a\nb")
    'a\\nb'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
