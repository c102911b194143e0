"""Opens the files of a data set: in a directory or a zip, plain or gzipped, UTF-8 or UTF-16.

Nothing is unpacked to disk: files are read as streams, so that no copy is left behind, and an archive that
grows without end is noticed before it fills anything.
"""

from __future__ import annotations

import codecs
import gzip
import io
import lzma
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, cast

from shared.errors import DataError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAX_UNPACKED = 16 << 30
"""Bytes that packed files may have in all; ML-32M has a gigabyte."""

MAX_UNPACKED_TEXT = 512 << 20
"""Bytes of a packed file that is read as a whole: movies, tags, links. Those of ML-32M have 72 MB."""

_BUFFER = 1 << 20
_GZIP_SUFFIX = ".gz"
_DAMAGED = (
    *(gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    *(EOFError, NotImplementedError, RuntimeError, ValueError),
)
# The longer ones first: UTF-32 begins like UTF-16.
_ENCODINGS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class InputFile:
    """One file of a data set.

    Attributes
    ----------
    name : str
        Without folders, e.g. ``"ratings.csv.gz"``.
    path : Path
        The file on disk: itself, or the zip that it is in.
    member : zipfile.ZipInfo or None
        Where it is in the zip.
    """

    name: str
    path: Path
    member: zipfile.ZipInfo | None = None

    @property
    def is_gzipped(self) -> bool:
        """Whether it is packed by itself."""
        return self.name.lower().endswith(_GZIP_SUFFIX)

    @property
    def plain_name(self) -> str:
        """Its name once it is unpacked."""
        return self.name[: -len(_GZIP_SUFFIX)] if self.is_gzipped else self.name

    @property
    def is_packed(self) -> bool:
        """Whether it has to be unpacked."""
        return self.is_gzipped or self.member is not None

    def open_bytes(self, limit: int = MAX_UNPACKED) -> BinaryIO:
        """Open its contents, unpacked, as they are.

        Raises
        ------
        DataError
            When the archive is damaged, or, while reading, also when it unpacks to more than ``limit`` bytes.
        OSError
            When it cannot be opened.
        """
        if not self.is_packed:
            return self.path.open("rb")
        try:
            stored = self._member() if self.member is not None else self.path.open("rb")
        except _DAMAGED as error:
            raise self._damaged(error) from error
        return io.BufferedReader(_Unpacked(stored, self, limit), _BUFFER)

    def open(self, limit: int = MAX_UNPACKED) -> BinaryIO:
        """Open its contents as text of one byte a character or more: UTF-16 and UTF-32 become UTF-8.

        Raises
        ------
        DataError, OSError
            As :meth:`open_bytes`; also, while reading, when it begins like UTF-16 but is not.
        """
        source = self.open_bytes(limit)
        try:
            encoding = _encoding(source)
        except DataError:
            source.close()
            raise
        if encoding is None:
            return source
        return io.BufferedReader(_Transcoded(source, encoding, self.name), _BUFFER)

    def size(self) -> int | None:
        """Return how many bytes :meth:`open` gives; None when nobody can know before."""
        if self.is_gzipped or self.encoding() is not None:
            return None
        return self.path.stat().st_size if self.member is None else self.member.file_size

    def encoding(self) -> str | None:
        """Return ``"utf-16"`` or ``"utf-32"`` when it begins like that, else None."""
        with self.open_bytes() as source:
            return _encoding(source)

    def notes(self) -> list[str]:
        """What a report says of it: nothing if it is a plain file."""
        encoding = self.encoding()
        return [*(["gzip"] if self.is_gzipped else []), *([encoding.upper()] if encoding else [])]

    def _member(self) -> BinaryIO:
        assert self.member is not None
        # What is opened in a zip stays open after the zip itself is closed.
        with zipfile.ZipFile(self.path) as archive:
            return cast(BinaryIO, archive.open(self.member))

    def _damaged(self, error: Exception) -> DataError:
        where = self.name if self.member is None else f"{self.name} in {self.path.name}"
        return DataError(f"{where} cannot be unpacked: {error}. Fetch or pack it again.")


def folder_files(directory: Path) -> dict[str, InputFile]:
    """List the files that lie directly in a directory, by name; none when it cannot be listed."""
    try:
        return {path.name: InputFile(path.name, path) for path in directory.iterdir() if path.is_file()}
    except OSError:
        return {}


def zip_folders(archive: Path) -> dict[PurePosixPath, dict[str, InputFile]]:
    """List the files of each folder of a zip, by name.

    Raises
    ------
    DataError
        When it is damaged, or names a path outside itself or the same file twice.
    """
    folders: dict[PurePosixPath, dict[str, InputFile]] = {}
    try:
        with zipfile.ZipFile(archive) as content:
            for path, member in safe_members(content):
                folder = folders.setdefault(path.parent, {})
                if path.name in folder:
                    raise DataError(f"{archive} holds {path} twice. Pack it again.")
                folder[path.name] = InputFile(path.name, archive, member)
    except _DAMAGED as error:
        raise DataError(f"{archive} cannot be unpacked: {error}. Fetch or pack it again.") from error
    return folders


def safe_members(content: zipfile.ZipFile) -> list[tuple[PurePosixPath, zipfile.ZipInfo]]:
    """List the files of a zip with their paths.

    Raises
    ------
    DataError
        When one names a path outside.
    """
    members = []
    for member in content.infolist():
        path = PurePosixPath(member.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts:
            raise DataError(f"the archive names a path outside itself: {member.filename!r}. It is not used.")
        if not member.is_dir():
            members.append((path, member))
    return members


class _Unpacked(io.RawIOBase):
    """Bytes of a packed file, up to a limit; damage is an error of ours."""

    def __init__(self, stored: BinaryIO, file: InputFile, limit: int) -> None:
        self._stored = stored
        self._source = cast(BinaryIO, gzip.GzipFile(fileobj=stored)) if file.is_gzipped else stored
        self._file = file
        self._limit = limit
        self._left = limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        try:
            chunk = self._source.read(len(view))
        except _DAMAGED as error:
            raise self._file._damaged(error) from error
        self._left -= len(chunk)
        if self._left < 0:
            raise DataError(
                f"{self._file.name} unpacks to more than {self._limit >> 20:,} MB. It is not used."
            )
        view[: len(chunk)] = chunk
        return len(chunk)

    def close(self) -> None:
        if not self.closed:
            self._source.close()
            self._stored.close()
        super().close()


class _Transcoded(io.RawIOBase):
    """Text of another encoding as UTF-8."""

    def __init__(self, source: BinaryIO, encoding: str, name: str) -> None:
        self._source = source
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._encoding = encoding
        self._name = name
        self._ready = memoryview(b"")
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        while not self._ready and not self._ended:
            chunk = self._source.read(_BUFFER)
            self._ended = not chunk
            try:
                self._ready = memoryview(self._decoder.decode(chunk, final=self._ended).encode())
            except UnicodeError as error:
                raise DataError(
                    f"{self._name} begins like {self._encoding.upper()} but is not: {error}. "
                    "Save it as UTF-8."
                ) from error
        n_bytes = min(len(view), len(self._ready))
        view[:n_bytes] = self._ready[:n_bytes]
        self._ready = self._ready[n_bytes:]
        return n_bytes

    def close(self) -> None:
        if not self.closed:
            self._source.close()
        super().close()


def _encoding(source: BinaryIO) -> str | None:
    head = cast(io.BufferedReader, source).peek(4)[:4]
    return next((encoding for mark, encoding in _ENCODINGS if head.startswith(mark)), None)
