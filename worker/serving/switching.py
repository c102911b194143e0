"""Decides which model version serves: the published one, unless it cannot be used."""

import math
import threading
import time
from typing import NamedTuple

import structlog

from shared.artifacts.store import ArtifactStore
from shared.errors import ArtifactError, UnreadableArtifactError
from worker.serving.loaded_model import LoadedModel

log = structlog.get_logger(__name__)

_POINTER = "current"
_RETRY_SECONDS = 10.0
"""After which a version that could not be read is tried again."""


class _Refusal(NamedTuple):
    """Why a version is not served, and the monotonic time from which on it is tried again."""

    reason: str
    until: float


class ModelSwitch:
    """Holds the model in memory, and switches to a new version when one is published.

    Parameters
    ----------
    store : ArtifactStore
        Where versions appear.
    """

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._loaded: LoadedModel | None = None
        self._refused: dict[str, _Refusal] = {}
        self._wanted: str | None = None
        self._refreshing = threading.Lock()

    @property
    def loaded(self) -> LoadedModel | None:
        """The model in memory, None if there is none yet."""
        return self._loaded

    @property
    def version(self) -> str | None:
        """The version in memory, None if there is none yet."""
        return self._loaded.manifest.version if self._loaded else None

    def refresh(self) -> None:
        """Switch to the current version if it is not the one in memory.

        The new one is loaded beside the old; computations that began with the old one finish with it. A
        version that cannot be served is refused with one log line, and the old one serves on; without an old
        one, the newest sound version on disk serves. A refused version is not looked at again, unless it
        only could not be read, for a while, or becomes the current version anew. Of several threads one
        loads, and the others wait for it.
        """
        with self._refreshing:
            self._refresh()

    def _refresh(self) -> None:
        wanted = None
        try:
            wanted = self._store.current_version()
        except ArtifactError as error:
            self._refuse(_POINTER, error)
        else:
            self._refused.pop(_POINTER, None)
        if wanted != self._wanted:
            self._wanted = wanted
            if wanted is not None:
                self._refused.pop(wanted, None)
        if wanted is not None and wanted != self.version and self._switch_to(wanted):
            return
        if self._loaded is None:
            for manifest in self._store.versions():
                if self._switch_to(manifest.version):
                    return

    def _switch_to(self, version: str) -> bool:
        """Load a version; tell whether it serves now."""
        refusal = self._refused.get(version)
        if refusal is not None and time.monotonic() < refusal.until:
            return False
        try:
            self._loaded = LoadedModel.load(self._store, version)
        except ArtifactError as error:
            self._refuse(version, error)
            return False
        self._refused.pop(version, None)
        log.info("switched to model", version=version)
        return True

    def _refuse(self, version: str, error: ArtifactError) -> None:
        before, reason = self._refused.get(version), str(error)
        if before is None or before.reason != reason:
            log.error("model refused", version=version, reason=reason, serving=self.version)
        passes = isinstance(error, UnreadableArtifactError)
        self._refused[version] = _Refusal(reason, time.monotonic() + _RETRY_SECONDS if passes else math.inf)
