"""Prepares databases and models to serve from, which are kept for later runs."""

import json
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from shared.errors import ServiceError
from shared.processes.children import Child, tail
from shared.progress import Progress, Step

_PARAMETERS = {"n_sweeps": 36, "burn_in": 12}
"""Fewer sweeps than usual: the model is worse, but of the same size, and takes the same time to answer."""

_DONE = "prepared.json"
_STEP_SECONDS = 3600.0


@dataclass(frozen=True)
class Size:
    """The size of a generated data set.

    Attributes
    ----------
    movies, users, ratings : int
        Number of each; the ids of users run from 1 without gaps.
    """

    movies: int
    users: int
    ratings: int


def environment(directory: Path) -> dict[str, str]:
    """Return the settings of a data directory, which override the environment and an ``.env``."""
    return {
        "DATA_DIR": str(directory),
        "DATABASE_URL": f"sqlite:///{directory / 'movierec.db'}",
        "MODEL_DIR": str(directory / "model"),
    }


def prepare(directory: Path, size: Size, progress: Progress) -> Path:
    """Generate, import and train, unless an earlier run did.

    Parameters
    ----------
    directory : Path
        Directory of the database and the model; created if it is missing.
    size : Size
        Size of the data set.
    progress : callable
        Called with each step.

    Returns
    -------
    Path
        The directory, absolute.

    Raises
    ------
    ServiceError
        If a step fails.
    """
    directory = directory.resolve()
    wanted = json.dumps({"size": asdict(size), "parameters": _PARAMETERS})
    done = directory / _DONE
    if done.is_file() and done.read_text(encoding="utf-8") == wanted:
        return directory
    directory.mkdir(parents=True, exist_ok=True)
    files = directory / "files"
    numbers = [f"--{name}={number}" for name, number in asdict(size).items()]
    progress(Step(f"generating {size.ratings:,} ratings of {size.movies:,} movies", 0))
    _run(directory, ["data", "demo", *numbers, f"--out={files}"])
    progress(Step(f"importing and training, {size.movies:,} movies", 0))
    parameters = [f"--parameter={name}={value}" for name, value in _PARAMETERS.items()]
    _run(directory, ["train", f"--data={files}", *parameters])
    shutil.rmtree(files)
    done.write_text(wanted, encoding="utf-8")
    return directory


def _run(directory: Path, arguments: list[str]) -> None:
    child = Child("prepare", arguments, environment(directory), directory)
    child.start()
    try:
        deadline = time.monotonic() + _STEP_SECONDS
        while child.exit_code is None and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        child.stop()
    if child.exit_code:
        raise ServiceError(f"movierec {' '.join(arguments)} failed:\n{tail(child.log)}")
