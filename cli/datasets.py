"""Reads the data set of a command."""

from pathlib import Path

from shared.database import bulk
from shared.database.engine import open_database
from shared.datasets.formats import read_dataset
from shared.datasets.model import Dataset
from shared.progress import Progress
from shared.settings import Settings


def load_dataset(
    settings: Settings, directory: Path | None, *, skip_bad_rows: bool, progress: Progress
) -> Dataset:
    """Read the files in a directory if one is given, else the database."""
    if directory is not None:
        return read_dataset(directory, skip_bad_rows=skip_bad_rows, progress=progress)
    return bulk.read_dataset(open_database(settings.database))[1]
