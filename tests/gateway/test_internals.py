"""The fast path relies on these parts of uvicorn and httptools, on no others, and they are as it expects.

Whoever upgrades one of them and sees this test red looks there first (docs/fast_path.md).
"""

import ast
import inspect
import textwrap
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
from tests.gateway.attributes import Reader, members

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
