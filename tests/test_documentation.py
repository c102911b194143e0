"""What the documents say is so: paths, links, the tree, settings, routes, commands, targets and keys."""

import re
from collections.abc import Iterator

import pytest
import typer.main
from typer.core import TyperGroup

from cli.main import app
from gateway.app import create_app
from gateway.http import problems
from shared.settings import GatewaySettings, Settings, WorkerSettings
from tests.documents import (
    Picture,
    anchors,
    code,
    documents,
    exists,
    folders_in,
    links,
    modules_in,
    named_paths,
    text_of,
    tracked,
)

_PACKAGES = ("benchmarks", "cli", "gateway", "shared", "worker")
_CONTAINERS_ONLY = {"REDIS_PASSWORD", "MOVIELENS_DIR", "PUBLISH"}
_METHODS = ("get", "post", "put", "patch", "delete")


def _is_named(words: str, text: str) -> bool:
    """Tell whether words stand in a text, not as a part of other words, with any space between them."""
    pattern = r"\s+".join(re.escape(word) for word in words.split())
    return re.search(rf"(?<![\w/-]){pattern}(?![\w{{]|[/-]\w)", text) is not None


# --- paths and links -------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", documents())
def test_every_path_that_a_document_names_exists(document: str) -> None:
    missing = {path for path in named_paths(text_of(document)) if not exists(path)}
    assert missing == set()


@pytest.mark.parametrize("document", documents())
def test_every_link_leads_somewhere(document: str) -> None:
    for path, heading in links(document):
        assert exists(path), path
        assert not heading or heading in anchors(path), f"{path}#{heading}"


def test_what_counts_as_a_path() -> None:
    text = "`gateway/app.py` `gateway/nowhere/` `data/model/` `a/b` `Model.best` `README.md` `x.py` cli/no.py"
    assert named_paths(text) == {"gateway/app.py", "gateway/nowhere/", "README.md"}
    assert exists("gateway/app.py")
    assert exists("gateway/")
    assert exists("gateway/http")
    assert not exists("gateway/nowhere/")


# --- the picture of the tree -----------------------------------------------------------------------------


def _layout() -> str:
    return text_of("README.md").partition("## Repository layout\n")[2].partition("\n## ")[0]


def test_the_picture_of_the_tree_is_the_tree() -> None:
    """Where it shows one folder it shows all of that level, and so with modules."""
    picture = Picture.parse(_layout())
    assert picture.folders[""] >= {f"{package}/" for package in _PACKAGES}
    expected = Picture(
        {parent: folders_in(parent) for parent in picture.folders},
        {parent: modules_in(parent) for parent in picture.modules},
    )
    for parent, drawn in picture.folders.items():
        unknown = drawn - expected.folders[parent]
        assert (parent, unknown, expected.folders[parent] - drawn) == (parent, set(), set())
    assert picture.modules == expected.modules


def test_how_a_picture_is_read() -> None:
    picture = Picture.parse("Text.\n\n    a/    what\n      b/     it is\n      c.py   is\n    d/    it\n")
    assert picture.folders == {"": {"a/", "d/"}, "a/": {"b/"}}
    assert picture.modules == {"a/": {"c.py"}}


# --- settings --------------------------------------------------------------------------------------------

_SETTINGS = sorted(
    {name.upper() for process in (Settings, GatewaySettings, WorkerSettings) for name in process.model_fields}
)


@pytest.mark.parametrize("name", _SETTINGS)
def test_every_setting_is_described(name: str) -> None:
    assert re.search(rf"^# {name}=", text_of(".env.example"), re.MULTILINE), "not in .env.example"
    assert _is_named(name, text_of("docs/operations.md")), "not in docs/operations.md"


def test_no_setting_is_described_that_there_is_not() -> None:
    named = set(re.findall(r"^# ([A-Z_]+)=", text_of(".env.example"), re.MULTILINE))
    assert named - set(_SETTINGS) == _CONTAINERS_ONLY


# --- the API ---------------------------------------------------------------------------------------------


def _routes() -> set[str]:
    """Return what the OpenAPI document has, in the form ``GET /api/v1/users/{id}``."""
    paths = create_app(GatewaySettings()).openapi()["paths"]
    return {
        f"{method.upper()} {re.sub(r'{[^}]+}', '{id}', path)}"
        for path, operations in paths.items()
        for method in operations
        if method in _METHODS
    }


def test_every_route_is_documented_and_no_other() -> None:
    routes, text = _routes(), text_of("docs/api.md")
    assert len(routes) >= 10
    assert {route for route in routes if not _is_named(route, text)} == set()
    methods = "|".join(method.upper() for method in _METHODS)
    named = {
        " ".join(found)
        for found in re.findall(rf"\b({methods})\s+(/[^\s`?]*)", "\n".join(code("docs/api.md")))
    }
    assert named == routes


def test_every_problem_is_documented() -> None:
    names = {problem.slug for problem in problems.Problem.__subclasses__()}
    assert len(names) >= 10
    assert {name for name in names if f"`{name}`" not in text_of("docs/api.md")} == set()


# --- commands --------------------------------------------------------------------------------------------


def _commands(group: TyperGroup, *before: str) -> Iterator[tuple[str, set[str]]]:
    """Yield all commands with their options."""
    for name, command in group.commands.items():
        yield (
            " ".join([*before, name]),
            {option for parameter in command.params for option in parameter.opts} | {"-h", "--help"},
        )
        if isinstance(command, TyperGroup):
            yield from _commands(command, *before, name)


def _all_commands() -> dict[str, set[str]]:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return dict(_commands(group))


def test_every_command_is_shown_somewhere() -> None:
    shown = "\n".join(line for document in documents() for line in code(document))
    commands = _all_commands()
    assert {"up", "data import"} <= set(commands)
    assert {name for name in commands if not re.search(rf"movierec {name}(?![\w-])", shown)} == set()


def test_no_command_or_option_is_shown_that_there_is_not() -> None:
    commands = _all_commands()
    for document in documents():
        for line in code(document):
            for shown in re.findall(r"(?<![\w-])movierec ([a-z][^#`]*)", line):
                words = shown.split()
                name = next((n for n in (" ".join(words[:2]), words[0]) if n in commands), None)
                assert name is not None, (document, line)
                is_group = any(other.startswith(f"{name} ") for other in commands)
                assert not is_group or words[1:] in ([], ["--help"]), (document, line)
                options = {word for word in words if re.fullmatch(r"--?[a-z][a-z-]*", word)}
                assert options <= commands[name], (document, line)


def test_every_target_of_make_that_is_shown_is_there() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", text_of("Makefile"), re.MULTILINE))
    shown = {
        name
        for document in documents()
        for line in code(document)
        for name in re.findall(r"(?:^|&& )make ([a-z][a-z-]*)", line)
    }
    assert {"up", "test", "lint"} <= shown
    assert shown - targets == set()


# --- Redis and logs --------------------------------------------------------------------------------------


def test_every_key_in_redis_is_described() -> None:
    """By its first two words; a key whose second word is computed is one of a user or a movie."""
    source = text_of("shared/contract/keys.py")
    prefixes = set(re.findall(r"movierec:[a-z-]+", source)) | {"movierec:user", "movierec:movie"}
    assert len(prefixes) >= 10
    text = text_of("docs/operations.md")
    assert {prefix for prefix in prefixes if prefix not in text} == set()


def test_every_log_line_that_is_explained_is_written() -> None:
    table = text_of("docs/operations.md").partition("| log line | meaning |")[2].partition("\n\n")[0]
    lines = re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)
    assert len(lines) >= 5
    sources = [
        text_of(path) for path in tracked() if path.endswith(".py") and path.partition("/")[0] in _PACKAGES
    ]
    assert [line for line in lines if not any(f'"{line}"' in source for source in sources)] == []


# --- decisions, terms ------------------------------------------------------------------------------------


def test_decisions_have_dates_and_reasons_and_are_listed() -> None:
    index = "docs/decisions/README.md"
    decisions = {path for path in documents() if path.startswith("docs/decisions/")} - {index}
    assert len(decisions) >= 10
    for path in decisions:
        assert re.fullmatch(r"docs/decisions/20[0-9]{2}-[01][0-9]-[0-3][0-9]-[a-z0-9-]+\.md", path)
        headings = re.findall(r"^## (.+)$", text_of(path), re.MULTILINE)
        assert headings[:3] == ["Context", "Decision", "Consequences"], path
    listed = {path for path, _ in links(index)}
    assert listed == decisions


def test_terms_are_in_order() -> None:
    terms = [
        term.lower()
        for term in re.findall(r"^\| \*\*(.+?)\*\* \|", text_of("docs/glossary.md"), re.MULTILINE)
    ]
    assert len(terms) >= 15
    assert terms == sorted(terms)
