"""Writing results so that a reader sees the old file or the new one, never half of one."""

import os
from collections.abc import Mapping
from pathlib import Path

from shared.errors import ConfigurationError


def write_results(directory: Path, contents: Mapping[str, bytes]) -> list[Path]:
    """Write files into a directory, each in one step.

    Parameters
    ----------
    directory : Path
        Created, with its parents, if it is missing.
    contents : mapping of str to bytes
        File name and what goes into it.

    Returns
    -------
    list of Path
        The files, in the order of ``contents``.

    Raises
    ------
    ConfigurationError
        If the directory cannot be created or written to.
    """
    paths = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            path = directory / name
            unfinished = directory / f".{name}.{os.getpid()}.tmp"
            try:
                unfinished.write_bytes(content)
                unfinished.replace(path)
            finally:
                unfinished.unlink(missing_ok=True)
            paths.append(path)
    except OSError as error:
        raise ConfigurationError(
            f"Cannot write results to {directory}: {error.strerror or error}. Choose another directory."
        ) from error
    return paths
