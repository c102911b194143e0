"""What is common to all CSV files: a header with columns in any order, and what is not CSV."""

import csv
from collections.abc import Sequence

from shared.datasets.fields import shown
from shared.errors import DataError


def header_columns(file: str, header: str, wanted: Sequence[str]) -> tuple[int, list[int]]:
    """Find columns by name.

    Parameters
    ----------
    file : str
        Name of the file, for the message.
    header : str
        The first line of the file.
    wanted : sequence of str
        Names of the columns that are read.

    Returns
    -------
    n_fields : int
        How many columns there are.
    positions : list of int
        Where each wanted column stands.

    Raises
    ------
    DataError
        When one is missing.
    """
    try:
        names = [name.strip() for name in next(csv.reader([header.rstrip("\r\n")]), [])]
    except csv.Error:
        names = [header]
    missing = [name for name in wanted if name not in names]
    if missing:
        found = shown(", ".join(names))
        noun = "column" if len(missing) == 1 else "columns"
        raise DataError(
            f"{file} has no {noun} {', '.join(missing)}: its first line names {found}. "
            f"Give it a header with {', '.join(wanted)}."
        )
    return len(names), [names.index(name) for name in wanted]


def not_csv(error: csv.Error) -> str:
    """Say why a row is not CSV, without the advice that Python gives to programmers."""
    return f"not CSV: {str(error).partition(' - ')[0]}"
