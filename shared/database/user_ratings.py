"""Reads the ratings of some users as arrays: one row a user and no object a rating."""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import BigInteger, Connection, Text, bindparam, cast, func, select

from shared.database.schema import ratings

_PARTS = 10_000
"""A rating travels as a whole number of these parts of a star."""

_SHIFT = 1 << 16
"""Larger than any rating in parts, so that movie and rating are one number; a double holds it exactly."""

# The database joins a user's ratings to one text: of rows of values, most of the time went into objects.
_PROFILES = (
    select(
        ratings.c.user_id,
        func.aggregate_strings(
            cast(
                cast(ratings.c.movie_id, BigInteger) * _SHIFT
                + cast(func.round(ratings.c.rating * _PARTS), BigInteger),
                Text,
            ),
            ",",
        ),
    )
    .where(ratings.c.user_id.in_(bindparam("user_ids", expanding=True)))
    .group_by(ratings.c.user_id)
)


class UserRatings(NamedTuple):
    """Ratings of several users.

    Attributes
    ----------
    user_ids, movie_ids : ndarray of int64, shape (n_ratings,)
    ratings : ndarray of float64, shape (n_ratings,)
        Stars, to four decimals.
    """

    user_ids: NDArray[np.int64]
    movie_ids: NDArray[np.int64]
    ratings: NDArray[np.float64]


def ratings_of(connection: Connection, user_ids: Collection[int]) -> UserRatings:
    """Return the ratings of several users in one query, in no particular order.

    Parameters
    ----------
    connection : Connection
    user_ids : collection of int
        Unknown users have no ratings.

    Returns
    -------
    UserRatings
    """
    # The driver's own tuples: a Row object around each takes longer than it has to.
    rows = connection.execute(_PROFILES, {"user_ids": list(user_ids)}).cursor.fetchall()
    texts = [text for _, text in rows]
    packed = np.fromstring(",".join(texts), dtype=np.int64, sep=",")
    lengths = [text.count(",") + 1 for text in texts]
    owners = np.repeat(np.array([user_id for user_id, _ in rows], dtype=np.int64), lengths)
    return UserRatings(owners, packed // _SHIFT, packed % _SHIFT / _PARTS)
