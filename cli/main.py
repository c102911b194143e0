"""The ``movierec`` command."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.caches import keep_caches_in_data_dir
from cli.console import output, replace_what_cannot_be_shown, show_progress, status
from shared.algorithms import CONFIGS, DEFAULT_ALGORITHM, config_class, parse_config, split_parameter
from shared.contract.jobs import QueueName
from shared.contract.kinds import MAX_ID, MIN_ID
from shared.datasets.options import ReadingOptions, Scale, TimeUnit
from shared.errors import MovierecError
from shared.logs import configure_logging
from shared.settings import GatewaySettings, Settings, WorkerSettings, load

if TYPE_CHECKING:
    from shared.datasets.model import Dataset

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""
    Movie recommendations over MovieLens data, behind an HTTP API.

    [bold]movierec up[/bold] starts everything on this machine: Redis, workers, gateway; on its first start it
    also imports data and trains a model.

    Settings come from the environment or from a file [bold].env[/bold] here; .env.example lists all of them.
    The most important: DATA_DIR (default: data), DATABASE_URL (SQLite in DATA_DIR), QUEUE_URL and CACHE_URL
    (Redis), ADMIN_TOKEN (for writing requests).

    [bold]Examples[/bold]

    movierec up --data ml-20m --workers 2\n
    movierec evaluate --data ml-latest-small --algorithm svd --folds 5\n
    movierec data demo --ratings 1000000 --users 7000 --movies 5000 --out demo
    """,
)
data_app = typer.Typer(no_args_is_help=True, help="Get, make and import MovieLens data.")
explore_app = typer.Typer(no_args_is_help=True, help="See what is in the data: text and plots in results/.")
app.add_typer(data_app, name="data")
bench_app = typer.Typer(no_args_is_help=True, help="Measure: tables of ratios, in results/.")
app.add_typer(bench_app, name="bench")
app.add_typer(explore_app, name="explore")

Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Directory or zip of a MovieLens data set, in any format."),
]
Algorithm = Annotated[
    str | None,
    typer.Option("--algorithm", "-a", metavar="NAME", help=f"One of: {', '.join(sorted(CONFIGS))}."),
]
SkipBadRows = Annotated[
    bool, typer.Option("--skip-bad-rows", help="Leave out rows that cannot be read, and count them.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of all random numbers.")]


@app.command(rich_help_panel="Run")
def up(
    data: Data = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port to listen on.", show_default="8000")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Serving worker processes.")] = 2,
    algorithm: Algorithm = None,
    skip_bad_rows: SkipBadRows = False,
    prepare_only: Annotated[
        bool, typer.Option("--prepare-only", help="Import and train what is missing, then end.")
    ] = False,
) -> None:
    """Start everything on this machine; Ctrl-C stops all of it.

    An embedded Redis is used unless QUEUE_URL is set. Without --data, what the database holds is used; on a
    first start: files in DATA_DIR, else ml-latest-small is downloaded, else, without a network, demo data is
    generated. A model is trained if there is none for this data.
    """
    _require_algorithm(algorithm)
    if prepare_only:
        from cli.prepare import prepare

        prepare(
            load(WorkerSettings),
            data,
            algorithm or DEFAULT_ALGORITHM,
            asked_for=algorithm is not None,
            skip_bad_rows=skip_bad_rows,
        )
        return
    from cli.up import run_up

    run_up(data=data, host=host, port=port, workers=workers, algorithm=algorithm, skip_bad_rows=skip_bad_rows)


@app.command(rich_help_panel="Run")
def gateway(
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="HOST")] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port to listen on.", show_default="PORT")
    ] = None,
) -> None:
    """Run one HTTP gateway. It needs Redis (QUEUE_URL, CACHE_URL), the database and DATA_DIR/model."""
    from cli.addresses import require_address
    from gateway.server import run_gateway

    settings = load(GatewaySettings, host=host, port=port)
    require_address(settings, by_option=host is not None)
    configure_logging(settings)
    run_gateway(settings)


@app.command(rich_help_panel="Run")
def worker(
    queue: Annotated[
        QueueName, typer.Option(help="Answer questions, compute what is likely to be asked, or train.")
    ] = QueueName.SERVE,
) -> None:
    """Run one worker process. Start as many as you like, on any machine that reaches Redis and the data.

    Those who wait come first: a warm worker drops its jobs while questions queue up, and warm and train
    workers leave the processor to others.
    """
    from worker.process import run_worker

    settings = load(WorkerSettings)
    configure_logging(settings)
    run_worker(settings, queue)


@app.command(rich_help_panel="Run")
def warm(
    users: Annotated[
        Literal["all", "active"], typer.Option(help="Everybody, or whose suggestions were asked for.")
    ] = "active",
    movies: Annotated[
        Literal["all", "active", "none"], typer.Option(help="All, those that were asked for, or none.")
    ] = "active",
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Threads to compute with.", show_default="one a core")
    ] = None,
) -> None:
    """Compute answers before they are asked for, while the service runs.

    What is in the cache and still right is not computed again, so an interrupted run goes on where it was.
    Answers are kept for a day. The service does this by itself for what is asked most, after each new model
    and import.
    """
    from cli.service import service_settings
    from worker.warming import Scope, run_warming

    settings = service_settings()
    configure_logging(settings)
    with show_progress() as progress:
        report = run_warming(
            settings, users=Scope(users), movies=Scope(movies), threads=jobs, progress=progress
        )
    output.print(report, markup=False)


@app.command(rich_help_panel="Models")
def train(
    data: Data = None,
    algorithm: Algorithm = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="Of the algorithm; see docs/models.md."),
    ] = None,
    max_seconds: Annotated[
        float | None,
        typer.Option(min=0.1, help="Fit no longer than this; bayes only."),
    ] = None,
    seed: Seed = 0,
    skip_bad_rows: SkipBadRows = False,
) -> None:
    """Train a model on what the database holds and publish it; workers that run take it over.

    With --data, that data set is imported first if the database holds another one. Ctrl-C leaves the model
    that is served in place.
    """
    from cli.reports import print_import, print_model
    from shared.artifacts.store import ArtifactStore
    from shared.database.engine import open_database
    from shared.datasets.importing import import_dataset
    from worker.training.pipeline import train as train_and_publish

    settings = load(WorkerSettings)
    given: dict[str, object] = {"seed": seed, **dict(split_parameter(text) for text in parameter or [])}
    if max_seconds is not None:
        given["max_seconds"] = max_seconds
    config = parse_config(algorithm or DEFAULT_ALGORITHM, given)
    engine = open_database(settings.database)
    with show_progress() as progress:
        if data is not None:
            outcome = import_dataset(engine, data, skip_bad_rows=skip_bad_rows, progress=progress)
            print_import(outcome)
        manifest = train_and_publish(
            engine, ArtifactStore(settings.models), config, keep=settings.keep_versions, progress=progress
        )
    print_model(manifest)


@app.command(rich_help_panel="Models")
def evaluate(
    data: Data = None,
    algorithm: Annotated[
        list[str] | None,
        typer.Option(
            "--algorithm",
            "-a",
            metavar="NAME[:PARAMETER=VALUE,...]",
            help="May be given several times, also with other parameters.",
        ),
    ] = None,
    folds: Annotated[int, typer.Option(min=2, max=100, help="Parts of the cross-validation.")] = 5,
    split: Annotated[
        Literal["random", "temporal"],
        typer.Option(help="At random, or by time: train on the past, test on the newest part."),
    ] = "random",
    seed: Seed = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Folds at the same time; each needs its memory.")] = 1,
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write JSON there.")
    ] = None,
    skip_bad_rows: SkipBadRows = False,
) -> None:
    """Cross-validate algorithms on the same folds; tables go to results/.

    Without --data, the ratings in the database are used.
    """
    from cli.datasets import load_dataset
    from worker.evaluation import Contender, Split, cross_validate, render_table, write_results

    contenders = [Contender.parse(text, seed) for text in algorithm or [DEFAULT_ALGORITHM]]
    settings = load(Settings)
    with show_progress() as progress:
        dataset = load_dataset(settings, data, skip_bad_rows=skip_bad_rows, progress=progress)
        evaluation = cross_validate(
            dataset, contenders, n_folds=folds, seed=seed, split=Split(split), n_jobs=jobs, progress=progress
        )
    for path in write_results(evaluation, settings.results_dir, json):
        status.print(f"wrote {path}", markup=False)
    output.print(render_table(evaluation), markup=False)


@data_app.command("download")
def data_download(
    name: Annotated[str, typer.Argument(help="ml-latest-small, ml-100k, ml-1m, ml-10m, ml-20m, ml-25m, ...")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to.", show_default="DATA_DIR")
    ] = None,
) -> None:
    """Download a data set from GroupLens; an interrupted download is continued."""
    from shared.datasets.download import download

    directory = out or load(Settings).data_dir
    directory.mkdir(parents=True, exist_ok=True)
    with show_progress() as progress:
        path = download(name, directory, progress=progress)
    output.print(f"{path}", markup=False)


@data_app.command("demo")
def data_demo(
    ratings: Annotated[int, typer.Option(min=1, help="Number of ratings.")] = 100_000,
    users: Annotated[int, typer.Option(min=1, help="Number of users.")] = 1_000,
    movies: Annotated[int, typer.Option(min=1, help="Number of movies.")] = 4_000,
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to.", show_default="DATA_DIR/demo")
    ] = None,
) -> None:
    """Generate a data set in MovieLens' file formats. The same seed gives the same bytes."""
    from shared.datasets.generate import generate

    directory = out or load(Settings).data_dir / "demo"
    with show_progress() as progress:
        generate(directory, n_ratings=ratings, n_users=users, n_movies=movies, seed=seed, progress=progress)
    output.print(f"{directory}", markup=False)


@data_app.command("import")
def data_import(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Directory of the data set, or a zip.")],
    skip_bad_rows: SkipBadRows = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show how the files are understood; write nothing.")
    ] = False,
    scale: Annotated[
        Scale | None,
        typer.Option(
            help="Scale of the ratings: on one from 0 the 0 is the lowest rating, on one from 1 it is none.",
            show_default="judged by the ratings",
        ),
    ] = None,
    timestamps: Annotated[
        TimeUnit | None,
        typer.Option(
            help="Unit of the timestamps, or none to go by the order of lines.",
            show_default="judged by the numbers",
        ),
    ] = None,
) -> None:
    """Make a data set the contents of the database, all of it or nothing.

    Files need not be quite as MovieLens writes them; what was understood is told. Where two readings fit,
    an option decides. With --dry-run the status is 1 if an import would stop at bad rows.
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


@data_app.command("changed")
def data_changed(
    users: Annotated[
        list[int],
        typer.Argument(metavar="USER", min=MIN_ID, max=MAX_ID, help="Whose ratings changed."),
    ],
) -> None:
    """Tell the service that ratings of users have changed in the database.

    Needed after a program of your own has written into the table of ratings, and committed: otherwise
    suggestions that were computed from the ratings before are shown for up to a day. An import is noticed.
    """
    from cli.service import service_settings
    from shared.queue.connections import connect
    from shared.rankings.changes import announce_changes

    settings = service_settings()
    with connect(settings.cache) as cache, connect(settings.queue) as queue:
        announce_changes(cache, queue, users)
    output.print(f"Suggestions of {len(users):,} user{'' if len(users) == 1 else 's'} will be computed anew.")


@explore_app.command("movies")
def explore_movies(data: Data = None, skip_bad_rows: SkipBadRows = False) -> None:
    """Genres, years and what goes together, as text and plots."""
    from worker.exploration import explore_movies as explore

    _explore(explore, data, skip_bad_rows)


@explore_app.command("ratings")
def explore_ratings(data: Data = None, skip_bad_rows: SkipBadRows = False) -> None:
    """Users, votes and scores, as text and plots."""
    from worker.exploration import explore_ratings as explore

    _explore(explore, data, skip_bad_rows)


@bench_app.command("training")
def bench_training(
    ratings: Annotated[
        list[int] | None,
        typer.Option(min=1000, help="Sizes; may be given several times.", show_default="100k, 1M, 5M, 20M"),
    ] = None,
    algorithm: Algorithm = None,
    surprise_epochs: Annotated[
        int, typer.Option(min=0, max=20, help="Epochs of Surprise's SVD that are really run; 0: none.")
    ] = 2,
) -> None:
    """Train on generated data of ML-20M's shape, beside scikit-surprise, and compare."""
    from benchmarks.training import run

    _require_algorithm(algorithm)
    settings = load(Settings)
    with show_progress() as progress:
        table = run(
            ratings or [100_000, 1_000_000, 5_000_000, 20_000_000],
            algorithm=algorithm or DEFAULT_ALGORITHM,
            surprise_epochs=surprise_epochs,
            directory=settings.data_dir / "bench",
            results=settings.results_dir,
            progress=progress,
        )
    output.print(table, markup=False)


@bench_app.command("accuracy")
def bench_accuracy(
    data: Data = None,
    folds: Annotated[int, typer.Option(min=2, max=100, help="Parts of the cross-validation.")] = 5,
    seed: Seed = 0,
) -> None:
    """Compare svd, bayes without side information, bayes and, if it is installed, myfm on the same folds."""
    from benchmarks.accuracy import run
    from cli.datasets import load_dataset

    settings = load(Settings)
    with show_progress() as progress:
        dataset = load_dataset(settings, data, skip_bad_rows=False, progress=progress)
        table = run(dataset, n_folds=folds, seed=seed, results=settings.results_dir, progress=progress)
    output.print(table, markup=False)


@bench_app.command("memory")
def bench_memory(
    workers: Annotated[int, typer.Option(min=1, max=16, help="Serving workers.")] = 3,
) -> None:
    """Show what one more serving worker costs, on the current model."""
    from benchmarks.memory import run

    settings = load(Settings)
    table = run(settings, workers)
    settings.results_dir.mkdir(parents=True, exist_ok=True)
    (settings.results_dir / "bench_memory.txt").write_text(table, encoding="utf-8")
    output.print(table, markup=False)


@bench_app.command("serving")
def bench_serving(
    movies: Annotated[
        list[int] | None,
        typer.Option(
            min=1000, help="Sizes of the catalogue; may be given several times.", show_default="9,000, 27,000"
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="hits, zipf, misses, lone, scaling, overload, stampede, swap, bytes or memory; may be given "
            "several times.",
            show_default="all",
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only see that everything works: short, 9,000 movies.")
    ] = False,
) -> None:
    """Put load on gateway and workers, beside FastAPI, a bare ASGI application and RQ, and compare.

    Everything is started for it, on loopback, with data sets of its own in DATA_DIR/bench. A full run takes
    about twenty minutes and wants the machine for itself.
    """
    from benchmarks.serving.run import run

    settings = load(Settings)
    with show_progress() as progress:
        table = run(
            movies or [],
            only=only or [],
            quick=quick,
            directory=settings.data_dir / "bench",
            results=settings.results_dir,
            progress=progress,
        )
    output.print(table, markup=False)


def _explore(explore: Callable[[Dataset, Path], list[Path]], data: Path | None, skip_bad_rows: bool) -> None:
    from cli.datasets import load_dataset

    settings = load(Settings)
    with show_progress() as progress:
        dataset = load_dataset(settings, data, skip_bad_rows=skip_bad_rows, progress=progress)
    paths = explore(dataset, settings.results_dir)
    output.print(
        next(path for path in paths if path.suffix == ".txt").read_text(encoding="utf-8"), markup=False
    )
    for path in paths:
        status.print(f"wrote {path}", markup=False)


def _require_algorithm(algorithm: str | None) -> None:
    if algorithm is not None:
        config_class(algorithm)


def _open_standard_files() -> None:
    """Give a process that was started without them somewhere to write to.

    Otherwise the first file or socket that it opens would take the place of standard error.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(descriptor, mode, encoding="utf-8"))  # noqa: SIM115, PTH123


def main() -> None:
    """Run the command; an error of ours is one message, never a trace."""
    # Libraries start interpreters of their own (joblib, multiprocessing), which must not look for modules in
    # the current folder either.
    os.environ["PYTHONSAFEPATH"] = "1"
    _open_standard_files()
    replace_what_cannot_be_shown()
    keep_caches_in_data_dir()
    try:
        app()
    except MovierecError as error:
        status.print(f"[bold red]error:[/bold red] {_escape(str(error))}")
        sys.exit(1)
    except KeyboardInterrupt:
        status.print("interrupted")
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)
    except OSError as error:  # a directory that cannot be written, a full disk
        where = f": {error.filename}" if error.filename else ""
        status.print(f"[bold red]error:[/bold red] {_escape(f'{error.strerror or error}{where}')}")
        sys.exit(1)


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


if __name__ == "__main__":
    main()
