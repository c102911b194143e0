"""The tables of the database."""

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, SmallInteger, Table, Text
from sqlalchemy.types import REAL

metadata = MetaData()

movies = Table(
    "movies",
    metadata,
    Column("movie_id", Integer, primary_key=True, autoincrement=False),
    Column("title", Text, nullable=False),
    Column("year", SmallInteger),
    Column("genres", Text, nullable=False),  # joined by "|", in the file's order
    Column("imdb_id", Integer),
    Column("tmdb_id", Integer),
)

# Stored in the order of its key, so that a user's ratings are one contiguous read.
ratings = Table(
    "ratings",
    metadata,
    Column("user_id", Integer, primary_key=True, autoincrement=False),
    Column("movie_id", Integer, primary_key=True, autoincrement=False),
    Column("rating", REAL, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

tags = Table(
    "tags",
    metadata,
    Column("user_id", Integer, nullable=False),
    Column("movie_id", Integer, nullable=False),
    Column("tag", Text, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    Index("tags_by_user", "user_id", "movie_id"),
)

# One row an import; the newest one is what the other tables hold.
imports = Table(
    "imports",
    metadata,
    Column("import_id", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("imported_at", BigInteger, nullable=False),
    Column("n_users", Integer, nullable=False),
    Column("n_movies", Integer, nullable=False),
    Column("n_ratings", BigInteger, nullable=False),
    Column("n_tags", BigInteger, nullable=False),
)
