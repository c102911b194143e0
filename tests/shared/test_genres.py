import pytest

from shared.genres import NO_GENRES, join_genres, split_genres


@pytest.mark.parametrize(
    ("joined", "genres"),
    [
        ("", []),
        ("|", []),
        (" | ", []),
        ("Drama|", ["Drama"]),
        ("|Drama", ["Drama"]),
        ("Drama|Drama", ["Drama"]),
        (" Drama ", ["Drama"]),
        ("War| Drama |War", ["War", "Drama"]),
        (NO_GENRES, []),
        ("(No Genres Listed)", []),
        (" (NO GENRES LISTED) |Drama", ["Drama"]),
        ("Children's|Sci-Fi", ["Children's", "Sci-Fi"]),
    ],
)
def test_no_genre_is_empty_or_twice(joined: str, genres: list[str]) -> None:
    assert split_genres(joined) == genres
    assert split_genres(join_genres(genres)) == genres
