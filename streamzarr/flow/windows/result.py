"""What a window gives: a value, and what kind of result it is."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from msgspec import Struct

from streamzarr.flow.windows.kinds import Window

Firing: TypeAlias = Literal["early", "final", "late"]
"""``"early"``: the window is still open. ``"final"``: the watermark has passed it, or the source has ended.
``"late"``: messages came after the final result, within the allowed lateness."""


class Result(Struct, frozen=True):
    """The result of one window of one key.

    `key` and `window` name it: a sink that keeps the latest by that name has each window once, but for those
    that are `resumed`.
    """

    key: Any
    window: Window
    value: Any
    count: int
    """Messages folded into `value`."""
    firing: Firing = "final"
    pane: int = 0
    """Results of this window before this one; numbers are left out where the bound of the state made room."""
    partial: bool = False
    """`value` does not hold all of the window's messages so far: add the window's results up. So it is after
    a trigger with `reset`, and when the bound of the state made room."""
    replaces: tuple[Window, ...] = ()
    """Windows whose earlier results this one takes the place of: a session that has grown since."""
    resumed: bool = False
    """Messages may be missing in `value`: it may have some of before the offset at which reading began. After
    a restart without ``state=`` a window that had given its result comes again like this, if it holds some of
    the messages that are read again. Keep the result that holds most (`count`), and no session that
    lies within another one. (A `partial` result is another thing: it is to be added to the others.)"""
