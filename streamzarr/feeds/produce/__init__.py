"""From files and from generators to a topic: what ``streamzarr produce`` does.

===============  ==========================================================================
``piece``        :class:`Piece`: some records on their way to a topic
``files``        records of CSV, Parquet and JSON lines
``moments``      when each of them was
``ticks``        quotes of a market that there is not; ``book``: its order book
``sensors``      readings of stations that there are not
``generate``     these three by name
``pace``         when a record is due, at real or multiplied speed
``send``         :func:`produce`: pieces to a topic, at their pace
===============  ==========================================================================
"""

from streamzarr.feeds.produce.files import read_file
from streamzarr.feeds.produce.generate import KINDS, generate
from streamzarr.feeds.produce.piece import Piece
from streamzarr.feeds.produce.send import Produced, produce

__all__ = ["KINDS", "Piece", "Produced", "generate", "produce", "read_file"]
