"""``movierec data``: download, demo, import, changed."""

from pathlib import Path
from typing import Annotated

import typer

from cli.console import output, show_progress
from cli.options import Seed, SkipBadRows
from shared.contract.kinds import MAX_ID, MIN_ID
from shared.datasets.options import ReadingOptions, Scale, TimeUnit
from shared.settings import Settings, load

app = typer.Typer(no_args_is_help=True, help="Get, make and import MovieLens data.")


@app.command("download")
def data_download(
    name: Annotated[str, typer.Argument(help="ml-latest-small, ml-100k, ml-1m, ml-10m, ml-20m, ml-25m, ...")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Target directory.", show_default="DATA_DIR")
    ] = None,
) -> None:
    """Download a data set from GroupLens; an interrupted download is resumed."""
    from shared.datasets.download import download

    directory = out or load(Settings).data_dir
    directory.mkdir(parents=True, exist_ok=True)
    with show_progress() as progress:
        path = download(name, directory, progress=progress)
    output.print(f"{path}", markup=False)


@app.command("demo")
def data_demo(
    ratings: Annotated[int, typer.Option(min=1, help="Number of ratings.")] = 100_000,
    users: Annotated[int, typer.Option(min=1, help="Number of users.")] = 1_000,
    movies: Annotated[int, typer.Option(min=1, help="Number of movies.")] = 4_000,
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Target directory.", show_default="DATA_DIR/demo")
    ] = None,
) -> None:
    """Generate a data set in the file formats of MovieLens. The same seed gives the same bytes."""
    from shared.datasets.generate import generate

    directory = out or load(Settings).data_dir / "demo"
    with show_progress() as progress:
        generate(directory, n_ratings=ratings, n_users=users, n_movies=movies, seed=seed, progress=progress)
    output.print(f"{directory}", markup=False)


@app.command("import")
def data_import(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Directory of the data set, or a zip.")],
    skip_bad_rows: SkipBadRows = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show how the files are read; write nothing.")
    ] = False,
    scale: Annotated[
        Scale | None,
        typer.Option(
            help="Scale of the ratings. A 0 is the lowest rating on scales from 0, no rating on others.",
            show_default="inferred from the ratings",
        ),
    ] = None,
    timestamps: Annotated[
        TimeUnit | None,
        typer.Option(
            help="Unit of the timestamps; with none, the order of the lines counts.",
            show_default="inferred from the numbers",
        ),
    ] = None,
) -> None:
    """Replace the contents of the database with a data set, completely or not at all.

    Files may differ from what MovieLens writes; how they were read is printed. Where two readings are
    possible, an option decides. With --dry-run the exit status is 1 if an import would stop at bad rows.
    """
    from cli.reports import print_dry_run, print_import
    from shared.database.engine import open_database
    from shared.datasets.formats import read_dataset
    from shared.datasets.importing import import_dataset

    options = ReadingOptions(scale, timestamps)
    if dry_run:
        with show_progress() as progress:
            dataset = read_dataset(directory, skip_bad_rows=True, options=options, progress=progress)
        print_dry_run(dataset, skip_bad_rows=skip_bad_rows)
        if dataset.report.n_bad_rows and not skip_bad_rows:
            raise typer.Exit(1)
        return
    engine = open_database(load(Settings).database)
    with show_progress() as progress:
        outcome = import_dataset(
            engine, directory, skip_bad_rows=skip_bad_rows, options=options, progress=progress
        )
    print_import(outcome)


@app.command("changed")
def data_changed(
    users: Annotated[
        list[int],
        typer.Argument(metavar="USER", min=MIN_ID, max=MAX_ID, help="Id of a user whose ratings changed."),
    ],
) -> None:
    """Tell the service that ratings of users have changed in the database.

    Run it after a program of your own has committed changes to the table of ratings; until then, suggestions
    computed from the old ratings may be shown for up to a day. Imports are noticed without it.
    """
    from cli.service import service_settings
    from shared.queue.connections import connect
    from shared.rankings.changes import announce_changes

    settings = service_settings()
    with connect(settings.cache) as cache, connect(settings.queue) as queue:
        announce_changes(cache, queue, users)
    output.print(f"Suggestions of {len(users):,} user{'' if len(users) == 1 else 's'} will be computed anew.")
