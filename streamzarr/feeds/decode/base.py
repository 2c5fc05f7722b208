"""What decoders have in common: messages in, columns out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Decoded:
    """Columns out of a batch of messages."""

    columns: Mapping[str, np.ndarray]
    """Values by column, all of one length: the rows."""
    origin: npt.NDArray[np.intp] | None
    """Index of the message that each row came from, ascending; None: row i is of message i."""
    bad: Mapping[int, str]
    """Index of a message that gave no rows -> reason."""


class Decoder(Protocol):
    """Makes columns of messages. Owned by one thread at a time."""

    def __call__(self, values: Sequence[bytes | None]) -> Decoded:
        """Return what the messages say; a message that says nothing that can be used is a bad one."""
