"""A ranking of movies as bytes: what workers write to the cache and gateways read.

Layout, little-endian: format (u8), decimals (u8), number of movies (u16), data revision (u32), changes of the
user's ratings (u32), length of the model version (u8), the version in ASCII, then the movie ids (u32 each)
and the scores (i32 each, in units of ``10 ** -decimals``). 150 movies take about 1.2 KB.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

FORMAT = 2
_HEADER = struct.Struct("<BBHIIB")


class Ranking(NamedTuple):
    """Movies and their scores, best first.

    Attributes
    ----------
    version : str
        Model version that computed it.
    revision : int
        Revision of the data that it was computed from.
    decimals : int
        Digits after the point of a score.
    movie_ids : sequence of int
        MovieLens ids.
    scores : sequence of int
        Scores times ``10 ** decimals``, rounded, so that each reader prints the very same digits.
    changes : int
        How often the user's ratings had changed, as :data:`shared.keys.CHANGES_FIELD` counts.
    """

    version: str
    revision: int
    decimals: int
    movie_ids: Sequence[int]
    scores: Sequence[int]
    changes: int = 0

    def to_bytes(self) -> bytes:
        """Pack."""
        version = self.version.encode("ascii")
        n = len(self.movie_ids)
        header = _HEADER.pack(FORMAT, self.decimals, n, self.revision, self.changes, len(version))
        return header + version + struct.pack(f"<{n}I{n}i", *self.movie_ids, *self.scores)

    @classmethod
    def from_bytes(cls, packed: bytes) -> "Ranking | None":
        """Unpack; None for what an older or newer release wrote, so that it is computed anew."""
        try:
            layout, decimals, n, revision, changes, length = _HEADER.unpack_from(packed)
            if layout != FORMAT:
                return None
            start = _HEADER.size + length
            version = packed[_HEADER.size : start].decode("ascii")
            if len(packed) != start + 8 * n:
                return None
            movie_ids = struct.unpack_from(f"<{n}I", packed, start)
            scores = struct.unpack_from(f"<{n}i", packed, start + 4 * n)
        except (struct.error, UnicodeDecodeError):
            return None
        return cls(version, revision, decimals, movie_ids, scores, changes)
