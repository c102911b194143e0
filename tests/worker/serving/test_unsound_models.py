"""Versions that are complete and unchanged, and yet nothing that anybody could serve."""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog

from cli import prepare
from shared.algorithms import SvdConfig
from shared.artifacts.store import ArtifactStore, Manifest
from shared.contract.kinds import Kind
from shared.contract.question import Question
from shared.errors import ArtifactError, DataError, UnreadableArtifactError
from shared.settings import WorkerSettings, load
from tests.conftest import Trained
from worker.serving import LoadedModel, Serving, switching
from worker.training.pipeline import train

Damage = Callable[[Path], object]


def change_array(name: str, change: Callable[[Any], Any]) -> Damage:
    """Return what replaces an array of a version by another one."""

    def damage(directory: Path) -> None:
        path = directory / f"{name}.npy"
        np.save(path, change(np.load(path)))

    return damage


def with_value(value: float) -> Callable[[Any], Any]:
    def change(array: Any) -> Any:
        array.reshape(-1)[len(array) // 2] = value
        return array

    return change


def change_manifest(directory: Path, **fields: object) -> None:
    path = directory / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **fields}), encoding="utf-8")


def sign(directory: Path) -> None:
    """Make a version's checksums right again."""
    sums = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.iterdir()
        if path.name != "manifest.json"
    }
    change_manifest(directory, files=sums)


def twice(ids: Any) -> Any:
    ids[1] = ids[0]
    return ids


DAMAGES: dict[str, tuple[Damage, str]] = {
    "unknown algorithm": (lambda path: change_manifest(path, algorithm="magic"), "another release.*'magic'"),
    "another algorithm": (lambda path: change_manifest(path, algorithm="bayes"), "usable bayes model"),
    "empty file": (lambda path: (path / "svd.item_factors.npy").write_bytes(b""), "usable svd model"),
    "cut file": (lambda path: os.truncate(path / "svd.item_factors.npy", 300), "usable svd model"),
    "cut header": (lambda path: os.truncate(path / "svd.item_factors.npy", 9), "usable svd model"),
    "no array": (lambda path: (path / "movie_ids.npy").write_bytes(b"PK\x03\x04"), "usable svd model"),
    "objects": (change_array("movie_ids", lambda a: np.array([{}])), "usable svd model"),
    "a missing array": (lambda path: (path / "svd.item_biases.npy").unlink(), "unknown: item_biases"),
    "one array more": (lambda path: np.save(path / "svd.extra.npy", np.zeros(1)), "unknown: extra"),
    "single precision": (
        change_array("svd.item_factors", lambda a: a.astype(np.float32)),
        "item_factors is float32 of shape .* instead of float64",
    ),
    "other byte order": (change_array("svd.item_factors", lambda a: a.astype(">f8")), "item_factors is >f8"),
    "text": (change_array("svd.item_biases", lambda a: a.astype("U8")), "item_biases is <U8"),
    "a row less": (change_array("svd.item_factors", lambda a: a[1:]), "item_factors is .* of shape"),
    "a dimension less": (change_array("svd.user_factors", lambda a: a[0]), "user_factors is .* of shape"),
    "a factor less": (change_array("svd.user_factors", lambda a: a[:, 1:]), "user_factors is .* of shape"),
    "a number": (change_array("svd.item_factors", lambda a: np.float64(3)), "usable svd model"),
    "NaN": (change_array("svd.item_factors", with_value(np.nan)), "item_factors has numbers"),
    "infinity": (change_array("svd.user_biases", with_value(-np.inf)), "user_biases has numbers"),
    "a movie twice": (change_array("movie_ids", twice), "ids that occur twice"),
    "movie 0": (change_array("movie_ids", with_value(0)), "not positive"),
    "movie -5": (change_array("movie_ids", with_value(-5)), "not positive"),
    "long ids": (change_array("movie_ids", lambda a: a.astype(np.int64)), "movie_ids is int64"),
    "no movies": (change_array("movie_ids", lambda a: a[:0]), "usable svd model"),
    "users in disorder": (change_array("svd.user_ids", lambda a: a[::-1].copy()), "do not ascend"),
    "scale of nothing": (
        lambda path: (path / "scale.json").write_text("[NaN, 5]", encoding="utf-8"),
        "scale is nan to 5",
    ),
    "scale upside down": (
        lambda path: (path / "scale.json").write_text("[5, 1]", encoding="utf-8"),
        "scale is 5.0 to 1.0",
    ),
    "scale of a million": (
        lambda path: (path / "scale.json").write_text("[0, 1e6]", encoding="utf-8"),
        "scale is 0.0 to",
    ),
    "scale of three": (
        lambda path: (path / "scale.json").write_text("[0, 1, 2]", encoding="utf-8"),
        "usable svd model",
    ),
    "scale in UTF-16": (lambda path: (path / "scale.json").write_bytes(b"\xff\xfe["), "usable svd model"),
    "genres of -1": (change_array("similarity.combinations", with_value(-1)), "rows that the"),
    "genres of 10^6": (change_array("similarity.combinations", with_value(10**6)), "rows that the"),
    "genres of fewer": (change_array("similarity.combinations", lambda a: a[1:]), "movies, and genres of"),
    "long genres": (change_array("similarity.combinations", lambda a: a.astype(np.int64)), "int64"),
    "NaN genres": (change_array("similarity.vectors", with_value(np.nan)), "vectors has numbers"),
    "long vectors": (change_array("similarity.vectors", lambda a: 3 * a), "unit length"),
    "identities of fewer": (change_array("movies.identity", lambda a: a[1:]), "identity.npy cannot be used"),
    "signed identities": (change_array("movies.identity", lambda a: a.astype(np.int64)), "is int64"),
    "flat vectors": (change_array("similarity.vectors", lambda a: a[:, 0]), "usable genre vectors"),
}


@pytest.fixture(scope="module")
def sound_versions(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a store with three versions of which the last is current."""
    store = ArtifactStore(tmp_path_factory.mktemp("sound") / "model")
    for seed in (1, 2, 3):
        train(trained.engine, store, SvdConfig(n_epochs=1, n_factors=2, seed=seed), keep=9)
    return store.directory


@pytest.fixture
def store(sound_versions: Path, tmp_path: Path) -> ArtifactStore:
    """Return a copy that a test may damage."""
    return ArtifactStore(shutil.copytree(sound_versions, tmp_path / "model"))


def point_to(store: ArtifactStore, version: str) -> None:
    (store.directory / "current").write_text(version, encoding="utf-8")


def newest_first(store: ArtifactStore) -> list[str]:
    return [manifest.version for manifest in store.versions()]


def refusals(logs: list[Any]) -> list[str]:
    return [entry["version"] for entry in logs if entry["event"] == "model refused"]


@pytest.mark.parametrize("name", DAMAGES)
def test_an_unsound_version_is_refused_once_and_the_newest_sound_one_serves(
    trained: Trained, store: ArtifactStore, name: str
) -> None:
    damage, words = DAMAGES[name]
    version, sound, _ = newest_first(store)
    damage(store.path(version))
    sign(store.path(version))
    with pytest.raises(ArtifactError, match=words):
        LoadedModel.load(store, version)
    serving = Serving(store, trained.engine)
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            serving.refresh()
    assert serving.version == sound
    assert refusals(logs) == [version]
    ranking = serving.rank([Question(Kind.SUGGESTED, 1)])[0]
    assert ranking is not None
    assert ranking.version == sound


def test_several_unsound_versions_are_each_read_once(
    trained: Trained, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switching, "_RETRY_SECONDS", 0.0)
    versions = newest_first(store)
    for version in versions:
        change_manifest(store.path(version), algorithm="magic")
    verified: list[str] = []
    verify = store.verify

    def note(version: str) -> Manifest:
        verified.append(version)
        return verify(version)

    monkeypatch.setattr(store, "verify", note)
    serving = Serving(store, trained.engine)
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            serving.refresh()
    assert serving.version is None
    assert sorted(refusals(logs)) == sorted(verified) == sorted(versions)


def test_the_pointer_goes_to_and_fro_between_unsound_versions(trained: Trained, store: ArtifactStore) -> None:
    newest, middle, oldest = newest_first(store)
    point_to(store, oldest)
    serving = Serving(store, trained.engine)
    serving.refresh()
    for version in (newest, middle):
        change_manifest(store.path(version), algorithm="magic")
        point_to(store, version)
        with structlog.testing.capture_logs() as logs:
            serving.refresh()
            serving.refresh()
        assert refusals(logs) == [version]
        assert serving.version == oldest


def test_a_version_that_was_mended_is_taken_when_it_becomes_current_anew(
    trained: Trained, store: ArtifactStore
) -> None:
    newest, middle, _ = newest_first(store)
    change_manifest(store.path(newest), algorithm="magic")
    serving = Serving(store, trained.engine)
    serving.refresh()
    assert serving.version == middle
    change_manifest(store.path(newest), algorithm="svd")
    serving.refresh()
    assert serving.version == middle
    for version in (middle, newest):
        point_to(store, version)
        serving.refresh()
    assert serving.version == newest


@pytest.mark.parametrize("place", ["manifest.json", "svd.item_factors.npy", "current"])
def test_what_could_not_be_read_is_tried_again_after_a_while(
    trained: Trained, store: ArtifactStore, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory in a file's place cannot be read by root either, whom no permissions stop."""
    newest, *_ = newest_first(store)
    monkeypatch.setattr(switching, "_RETRY_SECONDS", 0.2)
    path = store.directory / place if place == "current" else store.path(newest) / place
    path.rename(path.with_suffix(".aside"))
    path.mkdir()
    aside = store.directory / "aside"
    path.with_suffix(".aside").rename(aside)
    if place != "current":
        with pytest.raises(UnreadableArtifactError, match="Is a directory"):
            LoadedModel.load(store, newest)
    serving = Serving(store, trained.engine)
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            serving.refresh()
            time.sleep(0.11)  # past the pause at least once
    assert serving.version != newest or place == "current"
    assert refusals(logs) == ["current" if place == "current" else newest]
    path.rmdir()
    aside.rename(path)
    deadline = time.monotonic() + 5
    while serving.version != newest and time.monotonic() < deadline:
        serving.refresh()
    assert serving.version == newest


def test_a_directory_of_models_that_cannot_be_read_ends_nobody(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "model").write_text("a file", encoding="utf-8")
    serving = Serving(ArtifactStore(tmp_path / "model"), trained.engine)
    with structlog.testing.capture_logs() as logs:
        serving.refresh()
        serving.refresh()
    assert serving.version is None
    assert refusals(logs) == ["current"]


def test_a_training_that_ends_in_no_numbers_is_not_published(
    trained: Trained, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = store.current_version()
    with pytest.raises(DataError, match=r"svd ended with a model .*not finite.*learning rate"):
        train(trained.engine, store, SvdConfig(n_epochs=3, n_factors=2, lr_all=1.0, reg_all=10.0), keep=9)
    assert store.current_version() == before
    assert len(store.versions()) == 3


@pytest.mark.parametrize("name", ["unknown algorithm", "NaN", "cut file"])
def test_a_start_trains_anew_when_the_current_version_is_unsound(
    trained: Trained, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained.data_dir, tmp_path / "data")
    settings = load(WorkerSettings)
    assert prepare.is_prepared(settings, None, None)
    store = ArtifactStore(settings.models)
    version = store.current_version()
    assert version is not None
    damage, _ = DAMAGES[name]
    damage(store.path(version))
    sign(store.path(version))
    assert not prepare.is_prepared(settings, None, None)
    prepare.prepare(settings, None, "svd", asked_for=False, skip_bad_rows=False)
    assert prepare.is_prepared(settings, None, None)
    assert LoadedModel.load(store, store.current_version() or "").manifest.version != version
    assert "Training a new one" in capsys.readouterr().err
