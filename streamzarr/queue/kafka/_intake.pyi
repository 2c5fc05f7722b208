from typing import TypeAlias

_Run: TypeAlias = tuple[
    str,  # topic
    int,  # partition
    int | list[int],  # offsets: the first, where none is missing
    list[bytes | None] | None,  # keys; None: no record has one
    bytes | list[bytes | None],  # values: in one piece, with a line break between each two, or each by itself
    int | list[int],  # bytes of each value; one number where all are of one size
    list[tuple[tuple[str, bytes], ...]] | None,  # headers; None: no record has any
    bytes,  # timestamps: integers of 8 bytes, milliseconds since the epoch
    int,  # records
]
_Error: TypeAlias = tuple[str | None, int, int, int, str]  # topic, partition, offset, code, text

INTERFACE: int

class Intake:
    def take(self, count: int, most: int, /) -> tuple[list[_Run], list[_Error]]: ...
    def forward(self, topic: str, partition: int, /) -> None: ...
    def wait(self, seconds: float, /) -> bool: ...

def claim() -> Intake | None: ...
