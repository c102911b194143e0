"""Imports the files of a data set into the database."""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from shared.database import bulk, queries
from shared.database.one_import import one_import
from shared.database.queries import Import
from shared.datasets.formats import read_dataset
from shared.datasets.layouts import fingerprint
from shared.datasets.model import ReadReport
from shared.datasets.options import NO_OPTIONS, ReadingOptions
from shared.progress import Progress, Step, silent


@dataclass(frozen=True)
class ImportOutcome:
    """What an import did.

    Attributes
    ----------
    imported : Import
        What the database holds now.
    report : ReadReport or None
        What was noticed in the files; None if they were the ones that it held already.
    """

    imported: Import
    report: ReadReport | None


def import_dataset(
    engine: Engine,
    directory: Path,
    *,
    skip_bad_rows: bool = False,
    options: ReadingOptions = NO_OPTIONS,
    progress: Progress = silent,
) -> ImportOutcome:
    """Make the data set in a directory or zip the contents of the database.

    Files that the database holds already are not read again. While another process imports, it is waited for.

    Parameters
    ----------
    engine : Engine
        The database.
    directory : Path
        Any format of MovieLens or one like it, see :mod:`shared.datasets.formats`.
    skip_bad_rows : bool
        Leave out rows that cannot be read, instead of refusing the files.
    options : ReadingOptions
        What the user says of files that can be read in two ways.
    progress : callable
        Told about each step.

    Raises
    ------
    DataError
        If the files cannot be used; the database is as before.
    ServiceError
        If the database refuses; it is as before.
    """
    progress(Step("looking at the files", 0))
    found = fingerprint(directory, options)
    with one_import(engine, progress):
        with engine.connect() as connection:
            current = queries.current_import(connection)
        if current is not None and current.fingerprint == found:
            return ImportOutcome(current, report=None)
        dataset = read_dataset(directory, skip_bad_rows=skip_bad_rows, options=options, progress=progress)
        return ImportOutcome(bulk.replace_dataset(engine, dataset, found, progress), dataset.report)
