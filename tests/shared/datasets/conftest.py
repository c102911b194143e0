from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

MOVIES_CSV = "movieId,title,genres\n1,Toy Story (1995),Adventure|Children\n2,Jumanji (1995),Adventure\n"
RATINGS_CSV = "userId,movieId,rating,timestamp\n1,1,4.0,964982703\n1,2,3.5,964981247\n2,1,5.0,847434962\n"

Write = Callable[[Mapping[str, str | bytes]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write the files of a data set; movies.csv and ratings.csv are there unless they are given."""

    def write_files(files: Mapping[str, str | bytes]) -> Path:
        directory = tmp_path / "ml-test"
        directory.mkdir(exist_ok=True)
        csv = {} if any(name.endswith(("dat", "data", "item")) for name in files) else _CSV
        for name, content in {**csv, **files}.items():
            (directory / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return directory

    return write_files


_CSV: dict[str, str | bytes] = {"movies.csv": MOVIES_CSV, "ratings.csv": RATINGS_CSV}
