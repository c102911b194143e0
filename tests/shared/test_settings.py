from pathlib import Path

import pytest

from shared.errors import ConfigurationError
from shared.settings import GatewaySettings, Settings, WorkerSettings, load
from tests.conftest import PROJECT


def test_the_cache_is_the_queue_unless_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUEUE_URL", "redis://queue:6379/1")
    assert load(Settings).cache == "redis://queue:6379/1"
    monkeypatch.setenv("CACHE_URL", "redis://cache:6379/0")
    assert load(Settings).cache == "redis://cache:6379/0"


def test_database_and_models_are_in_the_data_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", "/srv/data")
    assert load(Settings).database == "sqlite:////srv/data/movierec.db"
    assert load(Settings).models == Path("/srv/data/model")


def test_options_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "9000")
    assert load(GatewaySettings, port=9001).port == 9001
    assert load(GatewaySettings, port=None).port == 9000


def test_an_error_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "99999")
    monkeypatch.setenv("WAIT_BUDGET", "-3")
    with pytest.raises(ConfigurationError, match=r"(?s)PORT.*WAIT_BUDGET"):
        load(GatewaySettings)


def test_a_bad_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN_TOKEN", "hunter2")
    with pytest.raises(ConfigurationError) as caught:
        load(GatewaySettings)
    assert "ADMIN_TOKEN" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_secrets_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN_TOKEN", "a-very-long-secret-token")
    monkeypatch.setenv("QUEUE_URL", "redis://:hunter2@queue:6379")
    shown = repr(load(GatewaySettings))
    assert "a-very-long-secret-token" not in shown
    assert "hunter2" not in shown


def test_the_example_file_is_complete() -> None:
    lines = (PROJECT / ".env.example").read_text(encoding="utf-8").splitlines()
    named = {line.lstrip("# ").split("=")[0].lower() for line in lines if "=" in line and "==" not in line}
    fields = set(GatewaySettings.model_fields) | set(WorkerSettings.model_fields)
    assert fields <= named, fields - named
