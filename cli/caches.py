"""Directories for the caches of libraries."""

import os
import stat
import tempfile
from pathlib import Path

from shared.errors import ConfigurationError
from shared.settings import Settings, load

_PLACES = {"NUMBA_CACHE_DIR": "numba", "SURPRISE_DATA_FOLDER": "surprise", "MPLCONFIGDIR": "matplotlib"}


def keep_caches_in_data_dir() -> None:
    """Let numba, Surprise and matplotlib write to ``DATA_DIR/cache``.

    By default they write beside the program or into the home directory, and fail where they cannot. They read
    these variables when they are imported. Variables that are already set are kept; if ``DATA_DIR`` cannot be
    written, a temporary directory is used.
    """
    missing = [name for name in _PLACES if not os.environ.get(name)]
    if not missing:
        return
    try:
        directory = load(Settings).data_dir.absolute() / "cache"
    except (ConfigurationError, OSError):
        return  # the command that needs the settings reports the error
    if not _can_be_made(directory):
        found = _temporary_directory()
        if found is None:
            return
        directory = found
    for name in missing:
        os.environ[name] = str(directory / _PLACES[name])


def _can_be_made(directory: Path) -> bool:
    """Tell whether a directory can be created and written, without creating it: few commands need it."""
    there = next(path for path in (directory, *directory.parents) if os.path.lexists(path))
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK, effective_ids=True)


def _temporary_directory() -> Path | None:
    """Return a directory that no other user can write, since numba runs the code it finds there."""
    try:
        directory = Path(tempfile.gettempdir()) / f"movierec-{os.getuid()}"
        directory.mkdir(mode=0o700, exist_ok=True)
        state = directory.lstat()
        if stat.S_ISDIR(state.st_mode) and state.st_uid == os.getuid() and not state.st_mode & 0o077:
            return directory
        return Path(tempfile.mkdtemp(prefix="movierec-"))
    except OSError:  # none can be written; the libraries try their defaults
        return None
