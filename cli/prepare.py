"""Prepares a first start: imports data and trains a model."""

import multiprocessing
import signal
import sys
from pathlib import Path

from sqlalchemy import Engine

from cli.console import show_progress, status
from cli.reports import print_import, print_model
from shared.algorithms import config_class
from shared.artifacts.store import ArtifactStore, Manifest
from shared.database import queries
from shared.database.engine import open_database
from shared.database.queries import Import
from shared.errors import ArtifactError, NoNetworkError
from shared.settings import WorkerSettings

DEFAULT_DATASET = "ml-latest-small"
_DEMO_RATINGS, _DEMO_USERS, _DEMO_MOVIES = 100_000, 1_000, 4_000


def is_prepared(settings: WorkerSettings, data: Path | None, algorithm: str | None) -> bool:
    """Tell quickly whether :func:`prepare` would have nothing to do."""
    if data is not None:
        return False  # only reading the files tells whether they changed
    engine = open_database(settings.database)
    imported = _current_import(engine)
    engine.dispose()
    store = ArtifactStore(settings.models)
    try:
        version = store.current_version()
        manifest = store.manifest(version) if version else None
    except ArtifactError:
        return False
    if imported is None or manifest is None or not _fits(manifest, imported, algorithm):
        return False
    # In a forked child, at half the cost of a new interpreter: the numerical libraries would stay in memory.
    check = multiprocessing.get_context("fork").Process(target=_load, args=(store, manifest.version))
    check.start()
    check.join()
    return check.exitcode == 0


def prepare(
    settings: WorkerSettings, data: Path | None, algorithm: str, *, asked_for: bool, skip_bad_rows: bool
) -> None:
    """Import data and train a model where they are missing or out of date.

    Parameters
    ----------
    settings : WorkerSettings
        Settings with the directories and the database.
    data : Path or None
        Directory of the files. None: the data in the database, else files in ``DATA_DIR``, else a download,
        else generated data.
    algorithm : str
        Algorithm to train.
    asked_for : bool
        Whether the user chose the algorithm, so that a model of another algorithm is replaced.
    skip_bad_rows : bool
        Leave out rows that cannot be read.
    """
    engine = open_database(settings.database)
    imported = _current_import(engine)
    if data is None and imported is None:
        data = _find_data(settings.data_dir)
    if data is not None:
        from shared.datasets.importing import import_dataset

        with show_progress() as progress:
            outcome = import_dataset(engine, data, skip_bad_rows=skip_bad_rows, progress=progress)
        imported = outcome.imported
        print_import(outcome)
    assert imported is not None
    store = ArtifactStore(settings.models)
    manifest = _current_manifest(store)
    if manifest is None or not _fits(manifest, imported, algorithm if asked_for else None):
        from worker.training.pipeline import train

        with show_progress() as progress:
            manifest = train(
                engine, store, config_class(algorithm)(), keep=settings.keep_versions, progress=progress
            )
        print_model(manifest)
    engine.dispose()


def _find_data(data_dir: Path) -> Path:
    """Return a directory with files: found in ``DATA_DIR``, downloaded, or, without a network, generated."""
    from shared.datasets.download import download
    from shared.datasets.layouts import find_dataset

    data_dir.mkdir(parents=True, exist_ok=True)
    for directory in (data_dir, data_dir / "movielens"):
        found = find_dataset(directory)
        if found is not None:
            return found
    status.print(f"There is no data in {data_dir}; downloading {DEFAULT_DATASET}.", markup=False)
    try:
        with show_progress() as progress:
            return download(DEFAULT_DATASET, data_dir, progress=progress)
    except NoNetworkError as error:  # no other error may lead to generated data
        status.print(str(error), style="yellow", markup=False)
        status.print(
            "[yellow]Generating demo data instead: these movies, users and ratings are made up.[/yellow]"
        )
    from shared.datasets.generate import generate

    demo = data_dir / "demo"
    with show_progress() as progress:
        generate(demo, n_ratings=_DEMO_RATINGS, n_users=_DEMO_USERS, n_movies=_DEMO_MOVIES, progress=progress)
    return demo


def _current_import(engine: Engine) -> Import | None:
    with engine.connect() as connection:
        return queries.current_import(connection)


def _current_manifest(store: ArtifactStore) -> Manifest | None:
    """Return the manifest of the current version, None if there is none that a worker would serve."""
    from worker.serving import LoadedModel  # imports the numerical libraries

    try:
        version = store.current_version()
        return LoadedModel.load(store, version).manifest if version else None
    except ArtifactError as error:
        status.print(f"{error} Training a new one.", style="yellow", markup=False)
        return None


def _load(store: ArtifactStore, version: str) -> None:
    """Load a version as workers do; exit with status 1 if that fails."""
    from worker.serving import LoadedModel

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)  # the inherited handlers are those of the parent
    try:
        LoadedModel.load(store, version)
    except ArtifactError:
        sys.exit(1)


def _fits(manifest: Manifest, imported: Import, algorithm: str | None) -> bool:
    return manifest.data.fingerprint == imported.fingerprint and algorithm in {None, manifest.algorithm}
