"""Errors that movierec raises on purpose.

::

    MovierecError
    ├── ConfigurationError    a setting is missing or makes no sense
    ├── DataError             ratings, movies or tags that cannot be used
    │   └── BadRowsError      rows of a file, each with its line and reason
    ├── DownloadError         a data set could not be fetched or is damaged
    │   └── NoNetworkError    the server cannot be reached
    ├── ArtifactError         a stored model is missing, half-written or corrupt
    │   └── UnreadableArtifactError   it could not be read this time
    └── ServiceError          something beside us failed: Redis, a port, a child process
        └── BusyError         another process does what only one may do at a time

Each message says what was wrong, with which value, and what to do about it; commands print it as it is.
"""

from dataclasses import dataclass


class MovierecError(Exception):
    """Base of all errors that a user may see."""


class ConfigurationError(MovierecError):
    """A setting is missing or makes no sense."""


class DataError(MovierecError):
    """Ratings, movies or tags that cannot be used."""


@dataclass(frozen=True)
class BadRow:
    """One row that a reader refused.

    Attributes
    ----------
    file : str
        Name of the file.
    line : int
        Line number, counted from 1 with the header.
    reason : str
        What is wrong, with the offending value.
    """

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


class BadRowsError(DataError):
    """Rows of a file that cannot be read.

    Parameters
    ----------
    rows : list of BadRow
        The first rows that were refused.
    total : int
        How many rows were refused in all.
    """

    def __init__(self, rows: list[BadRow], total: int) -> None:
        self.rows = rows
        self.total = total
        shown = "\n".join(f"  {row}" for row in rows)
        more = f"\n  ... and {total - len(rows):,} more" if total > len(rows) else ""
        noun = "row" if total == 1 else "rows"
        super().__init__(
            f"{total:,} bad {noun}:\n{shown}{more}\nMend the file, or skip bad rows with --skip-bad-rows."
        )


class DownloadError(MovierecError):
    """A data set could not be fetched or is damaged."""


class NoNetworkError(DownloadError):
    """The server cannot be reached, and no setting is to blame."""


class ArtifactError(MovierecError):
    """A stored model is missing, half-written or corrupt."""


class UnreadableArtifactError(ArtifactError):
    """A stored model could not be read this time; what keeps it from us may pass."""


class ServiceError(MovierecError):
    """Something beside us failed: Redis, a port, a child process."""


class BusyError(ServiceError):
    """Another process does what only one may do at a time."""
