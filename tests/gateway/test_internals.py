"""The fast path relies on these parts of uvicorn and httptools, on no others, and they are as it expects.

Whoever upgrades one of them and sees this test red looks there first (docs/fast_path.md).
"""

import ast
import inspect
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path

import httptools
import pytest
import uvicorn
from uvicorn.lifespan.on import LifespanOn
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from gateway.fast_path.protocol import _Turn
from tests.conftest import PROJECT

FIELD = None
"""In place of the parameters of a method."""

UNREADABLE = "?"
"""Parameters of a method that is compiled."""

RELIED_ON: dict[type, dict[str, str | None]] = {
    HttpToolsProtocol: {
        # overridden, most of them called as well
        "connection_made": "transport",
        "connection_lost": "exc",
        "data_received": "data",
        "eof_received": "",
        "pause_writing": "",
        "resume_writing": "",
        "on_message_begin": "",
        "on_headers_complete": "",
        "on_body": "body",
        "on_message_complete": "",
        "on_response_complete": "",
        # called
        "_start_asgi_task": "cycle, app",
        # read or written
        "app_state": FIELD,
        "connections": FIELD,
        "cycle": FIELD,
        "expect_100_continue": FIELD,
        "flow": FIELD,
        "headers": FIELD,
        "loop": FIELD,
        "parser": FIELD,
        "pipeline": FIELD,
        "scope": FIELD,
        "server_state": FIELD,
        "tasks": FIELD,
        "transport": FIELD,
        "url": FIELD,
    },
    RequestResponseCycle: {
        "disconnected": FIELD,
        "message_event": FIELD,
        "response_complete": FIELD,
        "response_started": FIELD,
    },
    FlowControl: {
        "pause_reading": "",
        "resume_reading": "",
        "write_paused": FIELD,
    },
    httptools.HttpRequestParser: {
        "feed_data": UNREADABLE,
        "get_http_version": UNREADABLE,
        "get_method": UNREADABLE,
        "should_keep_alive": UNREADABLE,
        "should_upgrade": UNREADABLE,
    },
    uvicorn.Server: {
        "__init__": "config",
        "startup": "sockets",
        "shutdown": "sockets",
        "config": FIELD,
        "lifespan": FIELD,
        "server_state": FIELD,
        "servers": FIELD,
    },
    ServerState: {"connections": FIELD, "default_headers": FIELD, "total_requests": FIELD},
    uvicorn.Config: {"http": FIELD},
    LifespanOn: {"state": FIELD},
}

IMPORTED = {
    "httptools": {"HttpParserCallbackError", "HttpParserError", "HttpParserUpgrade", "parse_url"},
    "uvicorn": {"Config", "Server"},
    "uvicorn.protocols.http.flow_control": {"FlowControl", "HIGH_WATER_LIMIT"},
    "uvicorn.protocols.http.httptools_impl": {"HttpToolsProtocol"},
}
"""Names that are taken from their modules; of uvloop it is none, only what asyncio's event loops have."""

FIELD_TYPES: dict[type, dict[str, type]] = {
    HttpToolsProtocol: {
        "cycle": RequestResponseCycle,
        "flow": FlowControl,
        "_flow": FlowControl,  # ours, the same object
        "parser": httptools.HttpRequestParser,
        "server_state": ServerState,
        "config": uvicorn.Config,
    },
    uvicorn.Server: {"server_state": ServerState, "config": uvicorn.Config, "lifespan": LifespanOn},
}
"""Fields that hold something of uvicorn's or httptools'."""

ROOTS = {"HttpToolsProtocol": HttpToolsProtocol, "FlowControl": FlowControl, "uvicorn.Server": uvicorn.Server}
ANNOTATIONS: dict[str, type] = {
    "uvicorn.Config": uvicorn.Config,
    "RequestResponseCycle": RequestResponseCycle,
}


class Other:
    """The type of whatever is neither uvicorn's nor httptools'."""


@cache
def members(kind: type) -> set[str]:
    """Return the names that a class and its objects have, without those of every object."""
    names = set(dir(kind)) - set(dir(object))
    if "__init__" in vars(kind):
        names.add("__init__")
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    except (OSError, TypeError):  # compiled
        return names
    stored = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    return names | {node.attr for node in stored if isinstance(node.ctx, ast.Store) and is_self(node.value)}


def is_self(node: ast.expr) -> bool:
    called_super = isinstance(node, ast.Call) and ast.unparse(node.func) == "super"
    return called_super or (isinstance(node, ast.Name) and node.id == "self")


INTERNAL = set().union(*(members(kind) for kind in RELIED_ON)) - {"__init__"}


class Reader:
    """Finds what some modules use of uvicorn's and httptools' classes.

    Attributes
    ----------
    used : dict of type to set of str
        What is used of each class.
    unclear : list of str
        Expressions with a name that those classes have, on an object of which nothing is known.
    """

    def __init__(self, sources: Iterable[str]) -> None:
        trees = [ast.parse(source) for source in sources]
        classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        self.classes = {node.name: node for node in classes}
        assert len(self.classes) == len(classes), "classes are told apart by their names"
        self.used: defaultdict[type, set[str]] = defaultdict(set)
        self.imported: defaultdict[str, set[str]] = defaultdict(set)
        self.unclear: list[str] = []
        for tree in trees:
            self._read_imports(tree)
            for node in tree.body:
                if isinstance(node, ast.ClassDef):
                    self._read_class(node)
                else:
                    self._read(node, Other, {})

    def root(self, name: str) -> type:
        """Return the class of uvicorn's that one of ours is derived from."""
        if name in ROOTS:
            return ROOTS[name]
        bases = self.classes[name].bases if name in self.classes else []
        found = [root for base in bases if (root := self.root(ast.unparse(base))) is not Other]
        return found[0] if found else Other

    def _read_imports(self, tree: ast.Module) -> None:
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                if node.module.split(".")[0] in {"uvicorn", "httptools", "uvloop"}:
                    self.imported[node.module].update(alias.name for alias in node.names)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    assert alias.asname is None, "a module under another name is not followed"
                    if alias.name.split(".")[0] in {"uvicorn", "httptools", "uvloop"}:
                        self.imported[alias.name].update()
            elif isinstance(node, ast.Attribute):
                module = ast.unparse(node.value)
                if module in {"uvicorn", "httptools", "uvloop"}:
                    self.imported[module].add(node.attr)

    def _read_class(self, node: ast.ClassDef) -> None:
        root = self.root(node.name)
        for part in node.body:
            if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
                if root is not Other and part.name in members(root):
                    self.used[root].add(part.name)
                self._read(part, root, {})
            elif root is not Other:
                for name in ast.walk(part):
                    if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store):
                        self.used[root] |= {name.id} & members(root)

    def _read(self, node: ast.AST, root: type, known: Mapping[str, type]) -> None:
        names = dict(known)
        for part in ast.walk(node):  # what is assigned somewhere is known everywhere in a function
            if isinstance(part, ast.arg):
                annotation = ast.unparse(part.annotation) if part.annotation else ""
                names.setdefault(part.arg, ANNOTATIONS.get(annotation, Other))
            elif isinstance(part, ast.Assign):
                for target in part.targets:
                    self._bind(target, part.value, root, names)
            elif isinstance(part, ast.AnnAssign | ast.NamedExpr) and part.value is not None:
                self._bind(part.target, part.value, root, names)
        for part in ast.walk(node):
            if isinstance(part, ast.Attribute):
                self._note(part, root, names)

    def _bind(self, target: ast.expr, value: ast.expr, root: type, names: dict[str, type]) -> None:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for one, its_value in zip(target.elts, value.elts, strict=True):
                self._bind(one, its_value, root, names)
        elif isinstance(target, ast.Name):
            kind = self._type(value, root, names)
            if kind is not None:
                names[target.id] = kind

    def _type(self, node: ast.expr, root: type, names: Mapping[str, type]) -> type | None:
        """Return the class of an expression's value, None if it is not known."""
        if is_self(node):
            return root
        if isinstance(node, ast.Name):
            return names.get(node.id)
        if isinstance(node, ast.Attribute):
            owner = self._type(node.value, root, names)
            if owner in {None, Other}:
                return owner
            assert owner is not None
            return FIELD_TYPES.get(owner, {}).get(node.attr, Other)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "cast":
            return self._type(node.args[1], root, names)
        return Other  # what a call returns, a literal, a sum

    def _note(self, node: ast.Attribute, root: type, names: Mapping[str, type]) -> None:
        owner = self._type(node.value, root, names)
        if owner is None:
            if node.attr in INTERNAL:
                self.unclear.append(ast.unparse(node))
        elif owner is not Other and node.attr in members(owner):
            self.used[owner].add(node.attr)


def sources() -> list[str]:
    files = sorted((PROJECT / "gateway" / "fast_path").glob("*.py"))
    return [file.read_text(encoding="utf-8") for file in files]


def parameters(function: object) -> str:
    assert callable(function)
    names = list(inspect.signature(function).parameters)
    return ", ".join(name for name in names if name != "self")


@pytest.mark.parametrize("kind", RELIED_ON, ids=lambda kind: kind.__name__)
def test_what_is_relied_on_is_there(kind: type) -> None:
    there = members(kind)
    for name, expected in RELIED_ON[kind].items():
        assert name in there, f"{kind.__name__}.{name} is gone"
        if expected is FIELD:
            assert not inspect.isfunction(getattr(kind, name, None)), f"{kind.__name__}.{name} is a method"
        elif expected == UNREADABLE:
            assert callable(getattr(kind, name))
        else:
            assert parameters(getattr(kind, name)) == expected, f"{kind.__name__}.{name}"


def test_names_that_are_imported_are_there() -> None:
    for module, names in IMPORTED.items():
        assert names <= set(vars(import_module(module)))


def test_nothing_else_is_used() -> None:
    reader = Reader(sources())
    assert reader.unclear == []
    assert {kind.__name__: names for kind, names in reader.used.items()} == {
        kind.__name__: set(names) for kind, names in RELIED_ON.items()
    }
    assert dict(reader.imported) == IMPORTED


@pytest.mark.parametrize(
    ("body", "kind", "name"),
    [
        ("self.ws_protocol_class", HttpToolsProtocol, "ws_protocol_class"),
        ("super().send_400_response('')", HttpToolsProtocol, "send_400_response"),
        ("self.timeout_keep_alive = 3", HttpToolsProtocol, "timeout_keep_alive"),
        ("self.cycle.more_body = False", RequestResponseCycle, "more_body"),
        ("cycle = self.cycle; print(cycle.chunked_encoding)", RequestResponseCycle, "chunked_encoding"),
        ("a, cycle = 1, self.cycle; cycle.body.clear()", RequestResponseCycle, "body"),
        ("cast(Any, self.cycle).on_response()", RequestResponseCycle, "on_response"),
        ("self._flow.read_paused", FlowControl, "read_paused"),
        ("self.parser.set_dangerous_leniencies()", httptools.HttpRequestParser, "set_dangerous_leniencies"),
        ("self.server_state.tasks", ServerState, "tasks"),
        ("self.config.app", uvicorn.Config, "app"),
    ],
)
def test_another_use_would_be_seen(body: str, kind: type, name: str) -> None:
    source = f"class More(Connection):\n    def more(self):\n        {body}\n"
    reader = Reader([*sources(), source])
    assert reader.used[kind] - set(RELIED_ON[kind]) == {name}


def test_other_ways_to_another_use_would_be_seen() -> None:
    override = "class More(Connection):\n    async def handle_websocket_upgrade(self): ...\n"
    assert "handle_websocket_upgrade" in Reader([*sources(), override]).used[HttpToolsProtocol]
    setting = "class More(Connection):\n    access_log = False\n"
    assert "access_log" in Reader([*sources(), setting]).used[HttpToolsProtocol]
    loop = "def each(limits):\n    for one in limits.present():\n        one.timeout_keep_alive_handler()\n"
    assert Reader([*sources(), loop]).unclear == ["one.timeout_keep_alive_handler"]
    named = "from uvicorn.config import LOGGING_CONFIG\nimport uvloop\n"
    assert dict(Reader([*sources(), named]).imported) != IMPORTED


def test_names_are_not_looked_up_as_text() -> None:
    """What the test above cannot see is not done, but for the transport of which all is passed on."""
    calls = [
        ast.unparse(node)
        for source in sources()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"getattr", "setattr", "hasattr", "delattr", "vars", "exec", "eval"}
    ]
    assert calls == ["getattr(self._transport, name)"]


def test_a_question_under_way_has_all_that_uvicorn_looks_at_in_a_request() -> None:
    """These methods of uvicorn's find ours in ``self.cycle``; the others are not called meanwhile."""
    looked_at = set()
    for method in (HttpToolsProtocol.connection_lost, HttpToolsProtocol.shutdown):
        for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(method)))):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self.cycle":
                looked_at.add(node.attr)
    assert looked_at == set(vars(_Turn())) | {"message_event"}


def test_versions_are_pinned_below_the_next_minor() -> None:
    text = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    lock = Path(PROJECT / "requirements.lock").read_text(encoding="utf-8")
    for name in ("uvicorn", "httptools", "uvloop"):
        version = lock.split(f"\n{name}==")[1].split()[0]
        major, minor, _ = version.split(".")
        assert f'"{name}>={major}.{minor},<{major}.{int(minor) + 1}"' in text
