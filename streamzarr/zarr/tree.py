"""A hierarchy, drawn as text or HTML."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape


@dataclass(frozen=True, slots=True)
class TreeNode:
    """One node: its path below the root, and what to say about an array; None for a group."""

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
        return "\n".join([self.root, *self._lines("", "")])

    def _children(self, parent: str) -> list[TreeNode]:
        return sorted(
            (node for node in self.nodes if node.path.rpartition("/")[0] == parent),
            key=lambda node: node.path,
        )

    def _lines(self, parent: str, indent: str) -> list[str]:
        lines: list[str] = []
        children = self._children(parent)
        for position, node in enumerate(children):
            last = position == len(children) - 1
            name = node.path.rpartition("/")[2]
            label = name if node.array is None else f"{name} {node.array}"
            lines.append(f"{indent}{'└── ' if last else '├── '}{label}")
            lines += self._lines(node.path, indent + ("    " if last else "│   "))
        return lines

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"
