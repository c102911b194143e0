"""Text is UTF-8 wherever it is read or written, whatever the locale says."""

import ast
from pathlib import Path

import pytest

from tests.conftest import PROJECT

_PACKAGES = ("benchmarks", "cli", "gateway", "shared", "tests", "worker")
_OPENS_TEXT = {"open", "fdopen", "read_text", "write_text", "TextIOWrapper", "NamedTemporaryFile"}
_NO_TEXT = {"os.open", "Image.open", "content.open", "archive.open", "file.open", "opener.open"}
"""A descriptor, an image, members of zip files, our own files of bytes, an address."""


def _without_encoding(source: str) -> list[int]:
    """Return the lines of calls that leave the encoding to the locale.

    ruff's PLW1514 sees those alone whose type it can tell, one in ten.
    """
    found = []
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        function = ast.unparse(call.func)
        words = [
            node.value for part in call.args for node in ast.walk(part) if isinstance(node, ast.Constant)
        ]
        named = {keyword.arg for keyword in call.keywords}
        opens = function.rpartition(".")[2] in _OPENS_TEXT and function not in _NO_TEXT
        binary = any(isinstance(word, str) and len(word) <= 3 and "b" in word for word in words)
        if (
            "encoding" not in named
            and "utf-8" not in words
            and ((opens and not binary) or (function.startswith("subprocess.") and "text" in named))
        ):
            found.append(call.lineno)
    return found


def test_what_the_check_finds() -> None:
    source = (
        "path.read_text()\npath.open('rb')\nopen(name)\npath.open('w', encoding='utf-8')\n"
        "subprocess.run(x, text=True)\n"
    )
    assert _without_encoding(source) == [1, 3, 5]


@pytest.mark.parametrize("package", _PACKAGES)
def test_every_text_file_is_opened_with_its_encoding(package: str) -> None:
    found = [
        f"{path.relative_to(PROJECT)}:{line}"
        for path in sorted(Path(PROJECT, package).rglob("*.py"))
        for line in _without_encoding(path.read_text(encoding="utf-8"))
    ]
    assert not found
