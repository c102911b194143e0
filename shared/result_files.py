"""Writes results so that a reader sees the old file or the new one, never half of one."""

import os
from collections.abc import Mapping
from pathlib import Path

from shared.errors import ConfigurationError


def write_files(directory: Path, contents: Mapping[str, bytes]) -> list[Path]:
    """Write files into a directory, each in one step.

    Devices, pipes and symbolic links are written through instead of being replaced.

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
    paths = [directory / name for name in contents]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for path, content in zip(paths, contents.values(), strict=True):
            if path.is_symlink() or (path.exists() and not path.is_file()):
                path.write_bytes(content)
            else:
                _replace(path, content)
    except OSError as error:
        raise ConfigurationError(
            f"Cannot write results to {directory}: {error.strerror or error}. Choose another directory."
        ) from error
    return paths


def _replace(path: Path, content: bytes) -> None:
    unfinished = path.with_name(f".unfinished.{os.getpid()}.tmp")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
