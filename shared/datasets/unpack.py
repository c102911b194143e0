"""Unpacks the data files, and nothing else, of an archive that came from outside."""

import hashlib
import shutil
import zipfile
import zlib
from pathlib import Path

from shared.datasets.layouts import detect
from shared.datasets.sources import MAX_UNPACKED, safe_members
from shared.errors import DataError, DownloadError

DATA_FILES = frozenset(
    (
        *("movies.csv", "ratings.csv", "tags.csv", "links.csv", "genome-scores.csv", "genome-tags.csv"),
        *("movies.dat", "ratings.dat", "tags.dat", "users.dat"),
        *("u.data", "u.item", "u.genre", "u.info", "u.user", "u.occupation"),
        *("README", "README.txt", "README.html"),
    )
)
"""Names of files that an archive of MovieLens holds; others are left in it."""


def check_md5(archive: Path, expected: str) -> None:
    """Compare an archive with its MD5, in lower-case hexadecimal.

    Raises
    ------
    DownloadError
        When they differ.
    """
    with archive.open("rb") as file:
        actual = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if actual != expected:
        raise DownloadError(f"the archive is damaged: its MD5 is {actual} instead of {expected}. Try again.")


def unpack(archive: Path, directory: Path) -> None:
    """Write the data files of an archive into a new directory, whatever folder of the archive they are in.

    Raises
    ------
    DownloadError
        When the archive is damaged, names a path outside itself, or holds no data set.
    """
    directory.mkdir()
    try:
        with zipfile.ZipFile(archive) as content:
            members = _data_members(content)
            if sum(member.file_size for member in members.values()) > MAX_UNPACKED:
                raise DownloadError(
                    f"the archive unpacks to more than {MAX_UNPACKED >> 30} GB. It is not used."
                )
            for name, member in members.items():
                # Reading to the end checks the CRC.
                with content.open(member) as source, (directory / name).open("xb") as file:
                    shutil.copyfileobj(source, file, 1 << 20)
    except DataError as error:
        raise DownloadError(str(error)) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise DownloadError(f"the archive is damaged: {error}. Try again.") from error
    if detect(directory) is None:
        raise DownloadError("the archive holds no MovieLens data set. Try again, or check the address.")


def _data_members(content: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    members: dict[str, zipfile.ZipInfo] = {}
    for path, member in safe_members(content):
        if path.name in DATA_FILES:
            members.setdefault(path.name, member)
    return members
