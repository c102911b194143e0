"""The scripts that Redis runs: each says what it does, and an installation has them all."""

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from shared.lua import load_script

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((ROOT / "shared").rglob("*.lua"))


@pytest.mark.parametrize("path", SCRIPTS, ids=[path.stem for path in SCRIPTS])
def test_a_script_says_what_it_does_and_what_it_is_given(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    head = text[: re.search(r"^(?!--)", text, re.MULTILINE).start()]  # type: ignore[union-attr]
    assert re.match(r"-- [A-Z].*", head)
    code = load_script(".".join(path.parent.relative_to(ROOT).parts), path.stem)
    assert head + code == text
    for name in ("KEYS", "ARGV"):
        assert name in head
        assert name in code


def test_there_are_scripts_and_no_other_place_for_them() -> None:
    assert len(SCRIPTS) == 6
    for room in ("cli", "gateway", "shared", "worker"):
        for path in (ROOT / room).rglob("*.py"):
            assert "redis.call(" not in path.read_text(encoding="utf-8"), path


def test_an_installation_has_them_all() -> None:
    """Not tried by building a wheel: an environment need not have what builds one."""
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    packages, patterns = setuptools["packages"]["find"]["include"], setuptools["package-data"]["*"]
    for path in SCRIPTS:
        package = ".".join(path.parent.relative_to(ROOT).parts)
        assert (path.parent / "__init__.py").exists()
        assert any(fnmatch(package, pattern) for pattern in packages)
        assert any(fnmatch(path.name, pattern) for pattern in patterns)
