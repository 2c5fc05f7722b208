"""What the fields of replayed rows are called that no column is."""

from typing import Final

PLACE: Final = "origin_offset"
"""The offset of the record that failed."""
RECORD: Final = "replay_offset"
"""The offset of the record that came for it."""
SLOT: Final = "slot_time"
"""In a grid: where the slot begins."""
OWN: Final = (PLACE, RECORD, SLOT)
