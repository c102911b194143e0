"""A question that workers answer with a ranking."""

from typing import NamedTuple

from shared.contract.kinds import Kind


class Question(NamedTuple):
    """What is to be ranked, and for which user or movie.

    Attributes
    ----------
    kind : Kind
        Which kind of ranking.
    subject : int
        The user it is for, or the movie that others are to be like.
    """

    kind: Kind
    subject: int
