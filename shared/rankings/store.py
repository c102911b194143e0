"""Reading cached rankings, many with one command, whatever somebody may have put in their place."""

from collections.abc import Sequence
from typing import NamedTuple

from shared.contract import keys
from shared.contract.kinds import Kind
from shared.rankings.ranking import Ranking

READ_RANKINGS = """
local found = {}
for i, key in ipairs(KEYS) do
  local fields = redis.pcall('HMGET', key, ARGV[i], ARGV[#KEYS + 1])
  local changes = not fields.err and fields[2]
  if fields.err and not string.find(fields.err, 'WRONGTYPE') then
    return fields
  elseif fields.err or changes and (#changes > 9 or not string.find(changes, '^%d+$')) then
    redis.pcall('DEL', key)
    fields = {false, false}
  end
  found[2 * i - 1], found[2 * i] = fields[1], fields[2]
end
return found
"""
"""One command: for a pipeline of 64 redis-py alone takes a millisecond.

A key that is no hash, or whose count of changes is no number, is removed: nobody can say what is fresh there,
so it is computed anew. KEYS: hashes. ARGV: a field of each, then the field that counts.
"""


class CachedRanking(NamedTuple):
    """What the cache holds for a question.

    Attributes
    ----------
    ranking : Ranking or None
        The ranking, of whatever version and data; None as well for what is no answer to the question.
    changes : int
        How often the user's ratings have changed by now; a ranking of another count is stale.
    """

    ranking: Ranking | None
    changes: int


def read_arguments(questions: Sequence[tuple[Kind, int]]) -> tuple[list[str], list[str]]:
    """Return keys and arguments of :data:`READ_RANKINGS`."""
    places = [keys.ranking(kind, entity_id) for kind, entity_id in questions]
    return [key for key, _ in places], [*(field for _, field in places), keys.CHANGES_FIELD]


def parse_replies(
    questions: Sequence[tuple[Kind, int]], replies: Sequence[bytes | None]
) -> list[CachedRanking]:
    """Return what :data:`READ_RANKINGS` found for each question."""
    return [
        CachedRanking(_answer(kind, packed), int(changes or 0))
        for (kind, _), packed, changes in zip(questions, replies[::2], replies[1::2], strict=True)
    ]


def _answer(kind: Kind, packed: bytes | None) -> Ranking | None:
    ranking = Ranking.from_bytes(packed) if packed else None
    return ranking if ranking is not None and ranking.answers(kind) else None
