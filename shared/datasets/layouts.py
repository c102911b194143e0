"""Which files make a data set, and where they are."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from shared.errors import DataError

_FINGERPRINT_LENGTH = 16


@dataclass(frozen=True)
class Layout:
    """The files of one MovieLens format.

    Attributes
    ----------
    name : str
        For messages.
    movies, ratings : str
        Files that must be there.
    optional : tuple of str
        Files that are read when they are there.
    """

    name: str
    movies: str
    ratings: str
    optional: tuple[str, ...]


CSV = Layout("CSV", "movies.csv", "ratings.csv", ("tags.csv", "links.csv"))
# users.dat is not read for its users: it tells ML-1M (Latin-1) from ML-10M (UTF-8).
DAT = Layout("ML-1M/ML-10M", "movies.dat", "ratings.dat", ("tags.dat", "users.dat"))
ML_100K = Layout("ML-100k", "u.item", "u.data", ("u.genre",))

LAYOUTS = (CSV, DAT, ML_100K)


def detect(directory: Path) -> Layout | None:
    """Return the format of the files that lie directly in a directory, or None."""
    for layout in LAYOUTS:
        if (directory / layout.movies).is_file() and (directory / layout.ratings).is_file():
            return layout
    return None


def find_dataset(directory: Path) -> Path | None:
    """Find the data set in a directory or, as in an unpacked zip, in its one sub-directory that holds one.

    Parameters
    ----------
    directory : Path
        Where to look; need not exist.

    Returns
    -------
    Path or None
        The directory that holds the files; None when there is no data set, or more than one below.
    """
    if detect(directory) is not None:
        return directory
    below = _datasets_below(directory)
    return below[0] if len(below) == 1 else None


def locate(directory: Path) -> tuple[Path, Layout]:
    """Find the data set as :func:`find_dataset` does, and its format.

    Raises
    ------
    DataError
        Naming what was looked for, and what is there instead.
    """
    found = find_dataset(directory)
    layout = detect(found) if found is not None else None
    if found is None or layout is None:
        raise DataError(_why_none(directory))
    return found, layout


def files_of(directory: Path, layout: Layout) -> list[Path]:
    """List the files of a data set that a reader opens."""
    names = (layout.movies, layout.ratings, *layout.optional)
    return [directory / name for name in names if (directory / name).is_file()]


def fingerprint(directory: Path) -> str:
    """Hash the names and contents of the files that a reader would open.

    Parameters
    ----------
    directory : Path
        As for :func:`~shared.datasets.formats.read_dataset`.

    Returns
    -------
    str
        16 hexadecimal digits of a SHA-256; the same as long as no file changes, wherever the directory is.

    Raises
    ------
    DataError
        When there is no data set, or a file cannot be read.
    """
    found, layout = locate(directory)
    total = hashlib.sha256()
    try:
        for path in files_of(found, layout):
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256")
            total.update(path.name.encode() + b"\0" + content.digest())
    except OSError as error:
        raise unreadable(found, error) from error
    return total.hexdigest()[:_FINGERPRINT_LENGTH]


def unreadable(directory: Path, error: OSError) -> DataError:
    """Say which file of a data set cannot be read, and why."""
    file = error.filename or directory
    return DataError(f"cannot read {file}: {error.strerror or error}. Check the file and its permissions.")


def _datasets_below(directory: Path) -> list[Path]:
    try:
        children = sorted(directory.iterdir())
        # Hidden ones are half-written: the generator and the download work there.
        return [child for child in children if not child.name.startswith(".") and detect(child) is not None]
    except OSError:
        return []


def _why_none(directory: Path) -> str:
    if not directory.exists():
        return f"there is no directory {directory}. Name the directory that holds the MovieLens files."
    if not directory.is_dir():
        return (
            f"{directory} is a file. Name the directory that holds the MovieLens files (unpack a zip first)."
        )
    below = _datasets_below(directory)
    if len(below) > 1:
        names = ", ".join(path.name for path in below)
        return f"{directory} holds several data sets: {names}. Name one of them."
    wanted = ", or ".join(f"{layout.movies} and {layout.ratings} ({layout.name})" for layout in LAYOUTS)
    known = {name for layout in LAYOUTS for name in (layout.movies, layout.ratings, *layout.optional)}
    present = sorted(name for name in known if (directory / name).is_file())
    seen = f"found only {', '.join(present)}" if present else "found none of them"
    return f"no data set in {directory}: looked for {wanted}, there or in one sub-directory, and {seen}."
