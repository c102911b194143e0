"""``movierec bench``: training, accuracy, memory, serving."""

from typing import Annotated

import typer

from cli.console import output, show_progress
from cli.options import Algorithm, Data, Seed
from shared.algorithms import DEFAULT_ALGORITHM, config_class
from shared.settings import Settings, load

app = typer.Typer(no_args_is_help=True, help="Run benchmarks; tables are written to results/.")


@app.command("training")
def bench_training(
    ratings: Annotated[
        list[int] | None,
        typer.Option(min=1000, help="Number of ratings; may be repeated.", show_default="100k, 1M, 5M, 20M"),
    ] = None,
    algorithm: Algorithm = None,
    surprise_epochs: Annotated[
        int, typer.Option(min=0, max=20, help="Epochs of Surprise's SVD to run; 0 leaves Surprise out.")
    ] = 2,
) -> None:
    """Compare training with scikit-surprise, on generated data shaped like ML-20M."""
    from benchmarks.training.run import run

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
    folds: Annotated[int, typer.Option(min=2, max=100, help="Number of folds.")] = 5,
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
    workers: Annotated[int, typer.Option(min=1, max=16, help="Number of serving workers.")] = 3,
) -> None:
    """Measure the memory of one more serving worker, with the current model."""
    from benchmarks.memory import run
    from shared.result_files import write_files

    settings = load(Settings)
    table = run(settings, workers)
    write_files(settings.results_dir, {"bench_memory.txt": table.encode()})
    output.print(table, markup=False)


@app.command("serving")
def bench_serving(
    movies: Annotated[
        list[int] | None,
        typer.Option(min=1000, help="Number of movies; may be repeated.", show_default="9,000, 27,000"),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="hits, zipf, misses, lone, scaling, overload, stampede, swap, bytes or memory; may be "
            "repeated.",
            show_default="all",
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only check that everything works: short runs, 9,000 movies.")
    ] = False,
) -> None:
    """Load-test gateway and workers, and compare with FastAPI, a bare ASGI application and RQ.

    It starts its own processes on loopback, with its own data sets in DATA_DIR/bench. A full run takes about
    twenty minutes; nothing else should run on the machine meanwhile.
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
