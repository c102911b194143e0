"""Prints the results of commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from cli.console import output, status
from shared.artifacts.store import Manifest

if TYPE_CHECKING:  # these import pandas, which would slow down every start
    from shared.datasets.importing import ImportOutcome
    from shared.datasets.model import Dataset, ReadReport


def print_import(outcome: ImportOutcome) -> None:
    """Print what was imported, and what was unusual about it."""
    new = outcome.imported
    sizes = (
        f"{new.n_ratings:,} ratings of {new.n_movies:,} movies by {new.n_users:,} users, {new.n_tags:,} tags"
    )
    if outcome.report is None:
        output.print(f"{new.name} is imported already: {sizes}.", markup=False)
        return
    output.print(f"Imported {new.name}: {sizes}.", markup=False)
    _print_report(outcome.report)


def print_dry_run(dataset: Dataset, *, skip_bad_rows: bool) -> None:
    """Print what an import would bring."""
    n_users = dataset.ratings["user_id"].nunique()
    output.print(
        f"{dataset.name} holds {len(dataset.ratings):,} ratings of {len(dataset.movies):,} movies "
        f"by {n_users:,} users, {len(dataset.tags):,} tags. Nothing was imported.",
        markup=False,
    )
    _print_report(dataset.report, "would be skipped" if skip_bad_rows else "were found")
    if dataset.report.n_bad_rows and not skip_bad_rows:
        output.print(
            "An import stops at bad rows. Mend the file, or skip them with --skip-bad-rows.", markup=False
        )


def _print_report(report: ReadReport, skipped: str = "were skipped") -> None:
    for line in report.understood:
        output.print(f"  {line}", markup=False)
    notes = [
        (report.n_bad_rows, f"bad rows {skipped}"),
        (report.n_unread_links, "rows of links have ids that cannot be read, which are unknown"),
        (report.n_duplicate_ratings, "older ratings of the same user and movie were dropped"),
        (report.n_unlisted_movies, "movies are rated but not listed; they got a placeholder title"),
        (report.n_empty_tags, "tags without any text were left out"),
        (report.n_repaired_titles, "lines were not UTF-8 and were read as Windows-1252"),
    ]
    for count, note in notes:
        if count:
            status.print(f"  {count:,} {note}", markup=False)
    for row in report.bad_rows + report.unread_links:
        status.print(f"    {row}", markup=False)


def print_model(manifest: Manifest) -> None:
    """Print what was trained."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("model", manifest.version)
    table.add_row("algorithm", manifest.algorithm)
    table.add_row("trained on", f"{manifest.data.name}, {manifest.data.n_ratings:,} ratings")
    for name, value in manifest.metrics.items():
        table.add_row(name.replace("_", " "), f"{value:,.3f}")
    output.print(table)
