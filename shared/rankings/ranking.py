"""A ranking of movies as bytes: what workers write to the cache and gateways read.

Layout, little-endian: format (u8), decimals (u8), whether the model is outdated (u8), number of movies (u16),
changes of the user's ratings (u32), lengths of the model version and of the data's fingerprint (u8 each),
both in ASCII, then the movie ids (u32 each) and the scores (i32 each, in units of ``10 ** -decimals``). 150
movies take about 1.2 KB.
"""

import struct
from collections.abc import Collection, Sequence
from typing import NamedTuple

from shared.contract.kinds import MAX_ID, MIN_ID, MODEL_VERSION, RULES, Kind

FORMAT = 3
_HEADER = struct.Struct("<BB?HIBB")


class Ranking(NamedTuple):
    """Movies and their scores, best first.

    Attributes
    ----------
    version : str
        Model version that computed it.
    fingerprint : str
        Of the data that were in the database when it was computed.
    decimals : int
        Digits after the point of a score.
    movie_ids : sequence of int
        MovieLens ids.
    scores : sequence of int
        Scores times ``10 ** decimals``, rounded, so that each reader prints the very same digits.
    changes : int
        How often the user's ratings had changed, as :data:`shared.contract.keys.CHANGES_FIELD` counts.
    outdated : bool
        Whether the model was trained on other data than those, so that it does not know all movies.
    """

    version: str
    fingerprint: str
    decimals: int
    movie_ids: Sequence[int]
    scores: Sequence[int]
    changes: int = 0
    outdated: bool = False

    def answers(self, kind: Kind) -> bool:
        """Tell whether this can be what a worker answered: anybody may have written it."""
        rule, ids, scores = RULES[kind], self.movie_ids, self.scores
        if (
            self.decimals != rule.decimals
            or len(ids) > rule.limit
            or MODEL_VERSION.fullmatch(self.version) is None
        ):
            return False
        return not ids or (
            min(ids) >= MIN_ID
            and max(ids) <= MAX_ID
            and len(set(ids)) == len(ids)
            and scores[0] <= rule.highest * 10**rule.decimals
            and scores[-1] >= 0
            and list(scores) == sorted(scores, reverse=True)
        )

    def is_fresh(self, versions: Collection[str], fingerprint: str, changes: int) -> bool:
        """Tell whether this may be shown, or is to be computed again.

        Parameters
        ----------
        versions : collection of str
            Model versions that workers serve now.
        fingerprint : str
            Of the data that are in the database now.
        changes : int
            How often the user's ratings have changed by now.
        """
        return self.fingerprint == fingerprint and self.changes == changes and self.version in versions

    def to_bytes(self) -> bytes:
        """Pack."""
        names = self.version.encode("ascii"), self.fingerprint.encode("ascii")
        n = len(self.movie_ids)
        header = _HEADER.pack(FORMAT, self.decimals, self.outdated, n, self.changes, *map(len, names))
        return header + b"".join(names) + struct.pack(f"<{n}I{n}i", *self.movie_ids, *self.scores)

    @classmethod
    def from_bytes(cls, packed: bytes) -> "Ranking | None":
        """Unpack; None for what an older or newer release wrote, so that it is computed anew."""
        try:
            layout, decimals, outdated, n, changes, *lengths = _HEADER.unpack_from(packed)
            if layout != FORMAT:
                return None
            middle = _HEADER.size + lengths[0]
            start = middle + lengths[1]
            version = packed[_HEADER.size : middle].decode("ascii")
            fingerprint = packed[middle:start].decode("ascii")
            if len(packed) != start + 8 * n:
                return None
            movie_ids = struct.unpack_from(f"<{n}I", packed, start)
            scores = struct.unpack_from(f"<{n}i", packed, start + 4 * n)
        except (struct.error, UnicodeDecodeError):
            return None
        return cls(version, fingerprint, decimals, movie_ids, scores, changes, outdated)
