"""The scripts that Redis runs: each says what it does, and a wheel has them all."""

import re
import subprocess
import sys
import zipfile
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


def test_a_wheel_has_them_all(tmp_path: Path) -> None:
    pytest.importorskip("setuptools")
    source = tmp_path / "source"
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).exists():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    for path in [*SCRIPTS, *(ROOT / "shared").rglob("*.py")]:
        copied = source / path.relative_to(ROOT)
        copied.parent.mkdir(parents=True, exist_ok=True)
        copied.write_bytes(path.read_bytes())
    subprocess.run(
        [sys.executable, "-c", "from setuptools import setup; setup()", "-q", "bdist_wheel", "-d", tmp_path],
        cwd=source,
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    assert {str(path.relative_to(ROOT)) for path in SCRIPTS} <= inside
