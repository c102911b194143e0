"""``movierec bench``: training, accuracy, memory, serving."""

from typing import Annotated

import typer

from cli.console import output, show_progress
from cli.options import Algorithm, Data, Seed
from shared.algorithms import DEFAULT_ALGORITHM, config_class
from shared.settings import Settings, load

app = typer.Typer(no_args_is_help=True, help="Measure: tables of ratios, in results/.")


@app.command("training")
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

    if algorithm is not None:
        config_class(algorithm)
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


@app.command("accuracy")
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


@app.command("memory")
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


@app.command("serving")
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
