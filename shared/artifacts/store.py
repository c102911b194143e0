"""Stores model versions on disk: writes, checks, publishes and finds them.

::

    data/model/
      current                        the name of the version that is served
      20261122T201530Z-svd-1f3c9a/   a version: manifest.json and the files that it lists

A version is written to a temporary directory beside its place, flushed to the disk and renamed; only then
does ``current``, replaced in one step, point to it. So at any moment, after any crash, ``current`` names a
complete version. What is read is checked against the SHA-256 sums of the manifest first.
"""

import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from shared.contract.kinds import MODEL_VERSION
from shared.errors import ArtifactError, UnreadableArtifactError

MANIFEST = "manifest.json"
_DRAFT_LIFETIME = timedelta(days=1)
_LONGEST_POINTER = 1000
"""Characters of ``current`` that are read; the name of a version is shorter."""


class DataSummary(BaseModel):
    """The data a model was trained on.

    Attributes
    ----------
    name : str
        Of the data set.
    revision : int
        Of the database.
    fingerprint : str
        Of the imported files.
    n_users, n_movies, n_ratings : int
        Sizes.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    name: str
    revision: int
    fingerprint: str
    n_users: int
    n_movies: int
    n_ratings: int


class Manifest(BaseModel):
    """Describes a model version.

    Attributes
    ----------
    version : str
        Its name.
    algorithm : str
        Name in the registry of models.
    parameters : dict
        Of the algorithm.
    data : DataSummary
        What it was trained on.
    metrics : dict of str to float
        Figures of the training, e.g. ``fit_seconds``.
    created_at : datetime
        UTC.
    libraries : dict of str to str
        Versions that trained it.
    files : dict of str to str
        SHA-256 of each file.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    version: str
    algorithm: str
    parameters: dict[str, Any]
    data: DataSummary
    metrics: dict[str, float]
    created_at: datetime
    libraries: dict[str, str]
    files: dict[str, str]


class ArtifactStore:
    """The model versions in a directory.

    Parameters
    ----------
    directory : Path
        Made when something is published.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, version: str) -> Path:
        """Return the directory of a version."""
        return self.directory / version

    def current_version(self) -> str | None:
        """Return the version that is to be served, None if there is none yet.

        Raises
        ------
        ArtifactError
            If the pointer holds something that is no version's name, or cannot be read.
        """
        path = self.directory / "current"
        try:
            with path.open(encoding="ascii", errors="replace") as file:
                text = file.read(_LONGEST_POINTER).strip()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UnreadableArtifactError(f"{path} cannot be read: {error.strerror}.") from error
        if not MODEL_VERSION.fullmatch(text):
            raise ArtifactError(f"{path} holds {text[:60]!r}, which is no model version.")
        return text

    def versions(self) -> list[Manifest]:
        """Return all readable versions, newest first."""
        try:
            names = [path.name for path in self.directory.iterdir()]
        except OSError:
            return []
        found = []
        for name in filter(MODEL_VERSION.fullmatch, names):
            try:
                found.append(self.manifest(name))
            except ArtifactError:
                continue
        return sorted(found, key=lambda manifest: (manifest.created_at, manifest.version), reverse=True)

    def manifest(self, version: str) -> Manifest:
        """Read the manifest of a version.

        Raises
        ------
        ArtifactError
            If there is no such version or its manifest makes no sense.
        UnreadableArtifactError
            If the manifest cannot be read.
        """
        if not MODEL_VERSION.fullmatch(version):
            raise ArtifactError(f"{version[:60]!r} is no model version.")
        try:
            manifest = Manifest.model_validate_json((self.path(version) / MANIFEST).read_bytes())
        except FileNotFoundError as error:
            raise ArtifactError(f"There is no model version {version} in {self.directory}.") from error
        except OSError as error:
            raise UnreadableArtifactError(
                f"The manifest of model version {version} cannot be read: {error.strerror}."
            ) from error
        except ValidationError as error:
            raise ArtifactError(f"The manifest of model version {version} cannot be read: {error}") from error
        if manifest.version != version:
            raise ArtifactError(f"The manifest of model version {version} names {manifest.version!r}.")
        return manifest

    def verify(self, version: str) -> Manifest:
        """Check every file of a version against its sum.

        Returns
        -------
        Manifest

        Raises
        ------
        ArtifactError
            If a file is missing, changed or not listed.
        UnreadableArtifactError
            If one cannot be read.
        """
        manifest = self.manifest(version)
        directory = self.path(version)
        try:
            present = {path.name for path in directory.iterdir()} - {MANIFEST}
            if present != set(manifest.files):
                difference = ", ".join(sorted(present ^ set(manifest.files)))
                raise ArtifactError(f"Model version {version} and its manifest differ in: {difference}.")
            for name, expected in manifest.files.items():
                with (directory / name).open("rb") as file:
                    actual = hashlib.file_digest(file, "sha256").hexdigest()
                if actual != expected:
                    raise ArtifactError(
                        f"Model version {version} is corrupt: {name} does not match its checksum."
                    )
        except OSError as error:
            raise UnreadableArtifactError(
                f"Model version {version} cannot be read: {error.strerror}: {error.filename}."
            ) from error
        return manifest

    def publish(
        self,
        write: Callable[[Path], None],
        *,
        algorithm: str,
        parameters: Mapping[str, Any],
        data: DataSummary,
        metrics: Mapping[str, float],
        libraries: Mapping[str, str],
        keep: int,
    ) -> Manifest:
        """Store a version and make it the current one.

        Parameters
        ----------
        write : callable
            Writes the model's files into the directory that it is given.
        algorithm, parameters, data, metrics, libraries
            For the manifest.
        keep : int
            Newest versions that stay; older ones are deleted. A process that has one mapped keeps reading it.

        Raises
        ------
        ArtifactError
            If the disk refuses; what was current before still is.
        """
        created_at = datetime.now(UTC)
        version = f"{created_at:%Y%m%dT%H%M%SZ}-{algorithm}-{secrets.token_hex(3)}"
        draft = self.directory / f".{version}.tmp"
        try:
            draft.mkdir(parents=True)
            write(draft)
            manifest = Manifest(
                version=version,
                algorithm=algorithm,
                parameters=dict(parameters),
                data=data,
                metrics=dict(metrics),
                created_at=created_at,
                libraries=dict(libraries),
                files={path.name: _digest_and_flush(path) for path in sorted(draft.iterdir())},
            )
            _write_flushed(draft / MANIFEST, json.dumps(manifest.model_dump(mode="json"), indent=2) + "\n")
            _flush_directory(draft)
            draft.rename(self.path(version))
            _flush_directory(self.directory)
            self._point_to(version)
        except OSError as error:
            raise ArtifactError(
                f"The model could not be stored in {self.directory}: {error}. The old one stays."
            ) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        self._prune(keep)
        return manifest

    def _point_to(self, version: str) -> None:
        pointer = self.directory / f".current.{secrets.token_hex(3)}.tmp"
        try:
            _write_flushed(pointer, version + "\n")
            pointer.replace(self.directory / "current")
            _flush_directory(self.directory)
        finally:
            pointer.unlink(missing_ok=True)

    def _prune(self, keep: int) -> None:
        current = self.current_version()
        for manifest in self.versions()[keep:]:
            if manifest.version != current:
                shutil.rmtree(self.path(manifest.version), ignore_errors=True)
        for draft in self.directory.glob(".*.tmp"):  # of a process that was killed while it wrote
            if time.time() - draft.stat().st_mtime > _DRAFT_LIFETIME.total_seconds():
                if draft.is_dir():
                    shutil.rmtree(draft, ignore_errors=True)
                else:
                    draft.unlink(missing_ok=True)


def _digest_and_flush(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    return digest


def _write_flushed(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _flush_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
