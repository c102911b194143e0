"""Finds the files that make a data set."""

import hashlib
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from shared.datasets.options import NO_OPTIONS, ReadingOptions
from shared.datasets.sources import MAX_UNPACKED, InputFile, folder_files, zip_folders
from shared.errors import DataError

_FINGERPRINT_LENGTH = 16
_CSV_SUFFIX = ".csv"
_TABLE_SUFFIXES = (_CSV_SUFFIX, ".tsv", ".txt")
_PACKED_SUFFIXES = ("", ".gz")


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

    @property
    def files(self) -> tuple[str, ...]:
        """All of them."""
        return self.movies, self.ratings, *self.optional


CSV = Layout("CSV", "movies.csv", "ratings.csv", ("tags.csv", "links.csv"))
# users.dat is not read for its users: it tells ML-1M (Latin-1) from ML-10M (UTF-8).
DAT = Layout("ML-1M/ML-10M", "movies.dat", "ratings.dat", ("tags.dat", "users.dat"))
ML_100K = Layout("ML-100k", "u.item", "u.data", ("u.genre",))

LAYOUTS = (CSV, DAT, ML_100K)


@dataclass(frozen=True)
class DatasetFiles:
    """A data set that was found.

    Attributes
    ----------
    name : str
        Of the folder that holds it, or of the zip.
    path : Path
        The directory or zip, for messages.
    layout : Layout
        Its format.
    files : mapping of str to InputFile
        The files that a reader opens, by their names in the layout.
    """

    name: str
    path: Path
    layout: Layout
    files: Mapping[str, InputFile]


def detect(directory: Path) -> Layout | None:
    """Return the format of the files that lie directly in a directory, or None."""
    return _layout(folder_files(directory))


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


def locate(path: Path) -> DatasetFiles:
    """Find the data set in a directory as :func:`find_dataset` does, or in whatever folder of a zip.

    Raises
    ------
    DataError
        Naming what was looked for, and what is there instead; also for a zip that is damaged.
    """
    if path.is_file() and zipfile.is_zipfile(path):
        return _locate_in_zip(path)
    found = find_dataset(path)
    if found is None:
        raise DataError(_why_none(path))
    return _dataset_files(found.resolve().name or "dataset", found, folder_files(found))


def fingerprint(path: Path, options: ReadingOptions = NO_OPTIONS) -> str:
    """Hash the names and contents of the files that a reader would open, and what is said of their meaning.

    Parameters
    ----------
    path : Path
        As for :func:`~shared.datasets.formats.read_dataset`.
    options : ReadingOptions
        Read otherwise, the same files are another data set.

    Returns
    -------
    str
        16 hexadecimal digits of a SHA-256; the same as long as no file changes, wherever the directory is and
        whether or not it is packed.

    Raises
    ------
    DataError
        When there is no data set, or a file cannot be read.
    """
    found = locate(path)
    total = hashlib.sha256()
    try:
        for file in found.files.values():
            with file.open_bytes() as content:
                digest = hashlib.file_digest(content, "sha256")  # type: ignore[arg-type]  # it asks for more
            total.update(file.plain_name.encode() + b"\0" + digest.digest())
    except OSError as error:
        raise unreadable(found.path, error) from error
    total.update(options.key.encode())
    return total.hexdigest()[:_FINGERPRINT_LENGTH]


def unreadable(directory: Path, error: OSError) -> DataError:
    """Say which file of a data set cannot be read, and why."""
    file = error.filename or directory
    return DataError(f"cannot read {file}: {error.strerror or error}. Check the file and its permissions.")


def _layout(names: Collection[str]) -> Layout | None:
    """Return the format of files with these names: MovieLens' own, else what is like them."""
    for layout in LAYOUTS:
        if layout.movies in names and layout.ratings in names:
            return layout
    for layout in LAYOUTS:
        if _candidates(layout.movies, names) and _candidates(layout.ratings, names):
            return layout
    return None


def _candidates(wanted: str, names: Collection[str]) -> list[str]:
    """Return the names that may stand for one of a layout: packed, ``.tsv``, ``rating.csv``, any case."""
    accepted = {wanted}
    if wanted.endswith(_CSV_SUFFIX):
        stem = wanted.removesuffix(_CSV_SUFFIX)
        accepted = {name + suffix for name in (stem, stem.removesuffix("s")) for suffix in _TABLE_SUFFIXES}
    accepted = {name + suffix for name in accepted for suffix in _PACKED_SUFFIXES}
    return sorted(name for name in names if name.lower() in accepted)


def _dataset_files(name: str, path: Path, files: Mapping[str, InputFile]) -> DatasetFiles:
    layout = _layout(files)
    assert layout is not None
    chosen = {}
    for wanted in layout.files:
        candidates = [wanted] if wanted in files else _candidates(wanted, files)
        if len(candidates) > 1:
            raise DataError(
                f"{path} holds several files that may be {wanted}: {', '.join(candidates)}. Keep one of them."
            )
        if candidates:
            chosen[wanted] = files[candidates[0]]
    size = sum(file.member.file_size for file in chosen.values() if file.member is not None)
    if size > MAX_UNPACKED:
        raise DataError(f"{path} unpacks to more than {MAX_UNPACKED >> 30} GB. It is not used.")
    return DatasetFiles(name, path, layout, chosen)


def _locate_in_zip(path: Path) -> DatasetFiles:
    folders = zip_folders(path)
    root = PurePosixPath()
    found = [folder for folder, files in folders.items() if _layout(files) is not None]
    if root in found:
        found = [root]
    if len(found) > 1:
        names = ", ".join(sorted(map(str, found)))
        raise DataError(f"{path} holds several data sets: {names}. Unpack it and name one of them.")
    if not found:
        raise DataError(f"no data set in {path}: looked for {_wanted()}, in any of its folders.")
    return _dataset_files(found[0].name or path.stem, path, folders[found[0]])


def _datasets_below(directory: Path) -> list[Path]:
    try:
        children = sorted(directory.iterdir())
        # Hidden ones are half-written: the generator and the download work there.
        return [child for child in children if not child.name.startswith(".") and detect(child) is not None]
    except OSError:
        return []


def _wanted() -> str:
    return ", or ".join(f"{layout.movies} and {layout.ratings} ({layout.name})" for layout in LAYOUTS)


def _why_none(directory: Path) -> str:
    if not directory.exists():
        return f"there is no directory {directory}. Name the directory or zip that holds the MovieLens files."
    if not directory.is_dir():
        return f"{directory} is a file, and no zip. Name the directory or zip that holds the MovieLens files."
    below = _datasets_below(directory)
    if len(below) > 1:
        names = ", ".join(path.name for path in below)
        return f"{directory} holds several data sets: {names}. Name one of them."
    known = {name for layout in LAYOUTS for name in layout.files}
    present = sorted(name for name in known if (directory / name).is_file())
    seen = f"found only {', '.join(present)}" if present else "found none of them"
    return f"no data set in {directory}: looked for {_wanted()}, there or in one sub-directory, and {seen}."
