import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.artifacts import ArtifactStore, DataSummary, Manifest
from shared.errors import ArtifactError

DATA = DataSummary(name="d", revision=1, fingerprint="f", n_users=1, n_movies=1, n_ratings=1)


def write_two_files(directory: Path) -> None:
    (directory / "a.npy").write_bytes(b"alpha")
    (directory / "b.npy").write_bytes(b"beta")


def publish(store: ArtifactStore, write: Callable[[Path], None] = write_two_files, keep: int = 5) -> Manifest:
    return store.publish(
        write, algorithm="svd", parameters={"k": 1}, data=DATA, metrics={"rmse": 0.9}, libraries={}, keep=keep
    )


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "model")


def test_what_is_published_is_current_and_sound(store: ArtifactStore) -> None:
    assert store.current_version() is None
    manifest = publish(store)
    assert store.current_version() == manifest.version
    assert store.verify(manifest.version) == manifest
    assert set(manifest.files) == {"a.npy", "b.npy"}


def test_nothing_but_versions_and_pointer_is_left(store: ArtifactStore) -> None:
    manifest = publish(store)
    assert {path.name for path in store.directory.iterdir()} == {manifest.version, "current"}


def test_old_versions_go_and_the_current_one_stays(store: ArtifactStore) -> None:
    published = [publish(store, keep=2).version for _ in range(4)]
    kept = [manifest.version for manifest in store.versions()]
    assert kept == published[:1:-1]
    assert store.current_version() == published[-1]


def test_a_failed_write_leaves_the_old_version(store: ArtifactStore) -> None:
    before = publish(store)

    def fail(directory: Path) -> None:
        (directory / "a.npy").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(ArtifactError, match="No space left"):
        publish(store, fail)
    assert store.current_version() == before.version
    assert {path.name for path in store.directory.iterdir()} == {before.version, "current"}


def test_a_version_that_crashed_while_writing_is_not_seen(store: ArtifactStore) -> None:
    before = publish(store)
    draft = store.directory / ".20991122T201530Z-svd-1f3c9a.tmp"
    draft.mkdir()
    write_two_files(draft)
    assert [manifest.version for manifest in store.versions()] == [before.version]


def test_old_drafts_are_swept(store: ArtifactStore) -> None:
    publish(store)
    draft = store.directory / ".20991122T201530Z-svd-1f3c9a.tmp"
    draft.mkdir()
    os.utime(draft, (0, 0))
    publish(store)
    assert not draft.exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: (path / "a.npy").write_bytes(b"alphb"), "a.npy does not match"),
        (lambda path: (path / "a.npy").unlink(), "differ in: a.npy"),
        (lambda path: (path / "extra.npy").write_bytes(b""), "differ in: extra.npy"),
        (lambda path: (path / "manifest.json").write_text("{", encoding="utf-8"), "cannot be read"),
        (lambda path: (path / "manifest.json").unlink(), "There is no model version"),
    ],
)
def test_damage_is_found(store: ArtifactStore, damage: Callable[[Path], object], message: str) -> None:
    version = publish(store).version
    damage(store.path(version))
    with pytest.raises(ArtifactError, match=message):
        store.verify(version)


def test_a_manifest_of_another_version_is_refused(store: ArtifactStore) -> None:
    version = publish(store).version
    manifest = store.path(version) / "manifest.json"
    document = json.loads(manifest.read_text(encoding="utf-8"))
    document["version"] = "20200101T000000Z-svd-000000"
    manifest.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(ArtifactError, match="names '20200101"):
        store.verify(version)


@pytest.mark.parametrize("name", ["../../etc", "", "x" * 500, "20261122T201530Z-svd-1f3c9a/.."])
def test_names_that_are_no_versions_are_refused(store: ArtifactStore, name: str) -> None:
    publish(store)
    with pytest.raises(ArtifactError, match="no model version"):
        store.manifest(name)
    (store.directory / "current").write_text(name, encoding="utf-8")
    with pytest.raises(ArtifactError, match="no model version"):
        store.current_version()
