import json
import os
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.artifacts.store import ArtifactStore, DataSummary, Manifest
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


def test_the_current_version_stays_however_few_are_kept(store: ArtifactStore) -> None:
    publish(store)
    manifest = publish(store, keep=0)
    assert [kept.version for kept in store.versions()] == [manifest.version] == [store.current_version()]


def test_a_version_is_named_after_the_time_of_its_making(store: ArtifactStore) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    manifest = publish(store)
    assert before <= manifest.created_at <= datetime.now(UTC)
    assert re.fullmatch(f"{manifest.created_at:%Y%m%dT%H%M%SZ}-svd-[0-9a-f]{{6}}", manifest.version)


def test_versions_that_cannot_be_read_hide_no_others(store: ArtifactStore) -> None:
    published = [publish(store).version for _ in range(4)]
    (store.directory / "something-else").mkdir()
    (store.directory / "something-else" / "manifest.json").write_text("{}", encoding="utf-8")
    for version in published:  # whichever the disk names first
        manifest = store.path(version) / "manifest.json"
        sound = manifest.read_bytes()
        for damaged in (b"{", b"\xff"):
            manifest.write_bytes(damaged)
            others = [other for other in reversed(published) if other != version]
            assert [found.version for found in store.versions()] == others
        manifest.write_bytes(sound)


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
    (draft / "a.npy").write_bytes(b"half")
    pointer = store.directory / ".current.1f3c9a.tmp"
    pointer.write_text("20991122T201530Z-svd-1f3c9a\n", encoding="utf-8")
    yesterday = time.time() - 24 * 3600
    for path in (draft, pointer):
        os.utime(path, (yesterday + 60, yesterday + 60))
    publish(store)
    assert draft.exists(), "it may still be written to"
    assert pointer.exists()
    for path in (draft, pointer):
        os.utime(path, (yesterday - 60, yesterday - 60))
    publish(store)
    assert not draft.exists()
    assert not pointer.exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: (path / "a.npy").write_bytes(b"alphb"), "a.npy does not match"),
        (lambda path: (path / "a.npy").unlink(), "differ in: a.npy"),
        (lambda path: (path / "extra.npy").write_bytes(b""), "differ in: extra.npy"),
        (lambda path: (path / "a.npy").rename(path / "c.npy"), r"differ in: a\.npy, c\.npy\."),
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
    with pytest.raises(ArtifactError, match=r"model/current holds '.{0,60}', which is no model version\.$"):
        store.current_version()


def test_a_pointer_that_is_no_text_is_refused(store: ArtifactStore) -> None:
    publish(store)
    (store.directory / "current").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ArtifactError, match="no model version"):
        store.current_version()
