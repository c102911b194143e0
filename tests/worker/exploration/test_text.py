from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from worker.exploration.text import WIDTH, Column, bar, distribution, fit, heading, table


def test_bars_are_drawn_in_eighths() -> None:
    assert bar(4, 4, 3) == "███"
    assert bar(2, 4, 3) == "█▌"
    assert bar(0, 4, 3) == ""
    assert bar(1, 10**9, 3) == "▏"  # little is not nothing


@given(st.integers(1, 10**9), st.floats(0, 1), st.integers(1, 100))
def test_bars_never_exceed_their_width(largest: int, share: float, width: int) -> None:
    value = share * largest
    drawn = bar(value, largest, width)
    assert cell_len(drawn) <= width
    assert bool(drawn) == (value > 0)


@given(st.text(), st.integers(1, 60))
def test_fitted_text_fits_and_is_one_line(text: str, width: int) -> None:
    fitted = fit(text, width)
    assert cell_len(fitted) <= width
    assert fitted.isprintable()


def test_long_text_ends_in_an_ellipsis() -> None:
    assert fit("Shawshank Redemption", 10) == "Shawshank…"
    assert fit("七人の侍", 8) == "七人の侍"
    assert fit("七人の侍", 6) == "七人…"
    assert fit("a\x1b[31m\nb", 20) == "a [31m b"


def test_table_aligns_wide_characters() -> None:
    assert table(
        [Column("title", "left"), Column("votes")], [["七人の侍", "1,000"], ["Ran", "2"], ["", "30"]]
    ) == [
        "  title     votes",
        "  七人の侍  1,000",
        "  Ran           2",
        "               30",
    ]


def test_distribution_of_a_known_case() -> None:
    lines = distribution((Column("genre", "left"), Column("movies")), [("Drama", 3), ("War", 0)], 4, 1)
    assert lines == [
        "  genre  movies  share",
        "  Drama       3  75.0%  " + "█" * (WIDTH - 24),
        "  … and 1 more",
    ]


@given(st.lists(st.tuples(st.text(), st.integers(0, 10**12))))
def test_no_line_exceeds_the_width(counts: list[tuple[str, int]]) -> None:
    total = sum(count for _, count in counts) or 1
    lines = distribution((Column("genre", "left"), Column("movies")), counts, total)
    assert len(lines) == len(counts) + 1
    assert all(cell_len(line) <= WIDTH for line in lines)


def test_heading_is_underlined_as_wide_as_it_is() -> None:
    assert heading("七人") == ["七人", "────"]
    assert cell_len(heading("x" * 300)[1]) == WIDTH
