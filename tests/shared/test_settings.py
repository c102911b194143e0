from pathlib import Path

import pytest

from shared.database.engine import database_url, sqlite_path
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


_STRANGE_NAMES = [
    "a?b",
    "a?mode=ro",
    "a%41b",
    "a%",
    "a#b",
    'a"b',
    "a\\b",
    "a b",
    " a",
    "a'b",
    "a\nb",
    "\u00e9\u6771",
    "file:a",
    "a&b=c",
]


@pytest.mark.parametrize("name", _STRANGE_NAMES)
@pytest.mark.parametrize("above", ["", "/srv/"])
def test_the_database_is_in_the_data_directory_whatever_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str, above: str
) -> None:
    monkeypatch.setenv("DATA_DIR", above + name)
    url = database_url(load(Settings).database)
    assert sqlite_path(url) == Path(above + name, "movierec.db").absolute()
    assert not url.query


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


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("*", ["*"]),
        ("https://a.example", ["https://a.example"]),
        ("https://a.example, http://b.example:8080,", ["https://a.example", "http://b.example:8080"]),
        ('["https://a.example", "null"]', ["https://a.example", "null"]),
        ('["*"]', ["*"]),
        ("HTTPS://A.Example:443", ["https://a.example"]),
        ("http://[::1]:3000", ["http://[::1]:3000"]),
        ("capacitor://localhost", ["capacitor://localhost"]),
    ],
)
@pytest.mark.parametrize("in_file", [False, True])
def test_origins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, origins: list[str], in_file: bool
) -> None:
    if in_file:
        (tmp_path / ".env").write_text(f"CORS_ORIGINS={text}\n", encoding="utf-8")
    else:
        monkeypatch.setenv("CORS_ORIGINS", text)
    assert load(GatewaySettings).cors_origins == origins


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a.example", "no scheme"),
        ("https://a.example/", "write https://a.example"),
        ("https://a.example/app", "write https://a.example"),
        ("https://a.example?x", "write https://a.example"),
        ("https://user@a.example", "no origin"),
        ("https://*.example", "no origin"),
        ("https://a.example:port", "no origin"),
        ("https://b\u00fccher.example", "as browsers send it"),
        ("https://", "no origin"),
        ("https://a.example http://b.example", "no origin"),
        ('["https://a.example"', "JSON"),
        ("[1]", "string"),
    ],
)
def test_what_is_no_origin_is_refused_with_a_reason(
    monkeypatch: pytest.MonkeyPatch, text: str, reason: str
) -> None:
    monkeypatch.setenv("CORS_ORIGINS", text)
    with pytest.raises(ConfigurationError) as caught:
        load(GatewaySettings)
    assert "CORS_ORIGINS" in str(caught.value)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "redis://[::1",
        "redis://h:port/0",
        "redis://h:99999/0",
        "redis://h/0?no=1",
        "unix://",
        "redis://:hunter2@h:99999/0",
    ],
)
@pytest.mark.parametrize("variable", ["QUEUE_URL", "CACHE_URL"])
def test_what_is_no_redis_url(monkeypatch: pytest.MonkeyPatch, variable: str, url: str) -> None:
    monkeypatch.setenv(variable, url)
    with pytest.raises(ConfigurationError, match=variable) as caught:
        load(Settings)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["redis://:p%40ss@[::1]:6379/2", "rediss://h", "unix:///run/redis?db=1"])
def test_redis_urls(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("QUEUE_URL", url)
    assert load(Settings).queue == url


def test_a_file_of_settings_that_is_not_utf_8(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("PORT=9000\nDATA_DIR=donn\u00e9es\n".encode("latin-1"))
    with pytest.raises(ConfigurationError) as caught:
        load(Settings)
    assert str(caught.value) == (
        f"{tmp_path / '.env'}, line 2: the byte 0xe9 is not UTF-8; save the file as UTF-8."
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_the_first_line_of_a_file_with_a_mark_counts(tmp_path: Path, encoding: str) -> None:
    (tmp_path / ".env").write_text("DATA_DIR=donn\u00e9es\n", encoding=encoding)
    assert load(Settings).data_dir == Path("donn\u00e9es")


def test_a_variable_that_the_locale_cannot_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", "donn\udce9es")
    with pytest.raises(ConfigurationError, match=r"DATA_DIR: .*locale"):
        load(Settings)


@pytest.mark.parametrize("variable", ["DATA_DIR", "MODEL_DIR", "RESULTS_DIR"])
def test_a_file_is_no_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv(variable, str(tmp_path / "file"))
    with pytest.raises(ConfigurationError, match=variable):
        load(Settings)


def test_the_example_file_is_complete() -> None:
    lines = (PROJECT / ".env.example").read_text(encoding="utf-8").splitlines()
    named = {line.lstrip("# ").split("=")[0].lower() for line in lines if "=" in line and "==" not in line}
    fields = set(GatewaySettings.model_fields) | set(WorkerSettings.model_fields)
    assert fields <= named, fields - named
