"""The project's documents, and what a reader finds in them: code, paths, links and a picture of the tree."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath

from tests.suite import BY_TOOLS

PROJECT = Path(__file__).parent.parent

_CODE_SPAN = re.compile(r"`([^`\n]+)`")
_CODE_LINE = re.compile(r"^(?: {4}|\t)(?!.*[│┌└]).*$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_PATH = re.compile(r"[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*/?")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_ROW = re.compile(r"^    ((?:  )*)([A-Za-z0-9_.-]+/?)  +\S")


@cache
def tracked() -> frozenset[str]:
    """Return the files of the project, by their paths from its root; of a clone those that git knows."""
    if shutil.which("git") is None or not (PROJECT / ".git").exists():
        return frozenset(_all_files())
    listed = subprocess.run(
        ["git", "ls-files", "-z"],
        cwd=PROJECT,
        check=True,
        capture_output=True,
        encoding="utf-8",
    ).stdout
    return frozenset(path for path in listed.split("\0") if path and (PROJECT / path).exists())


def _all_files() -> Iterator[str]:
    """Yield the files that are here, without what tools and the service make."""
    made = {*BY_TOOLS, ".git", ".venv", "build"}
    for directory, folders, files in os.walk(PROJECT):
        at = Path(directory).relative_to(PROJECT)
        in_data = at == Path("data")
        folders[:] = [
            name for name in folders if not in_data and name not in made and not name.endswith(".egg-info")
        ]
        for name in files:
            if name != ".env" and not name.startswith(".coverage") and (not in_data or name == "README.md"):
                yield (at / name).as_posix()


@cache
def folders() -> frozenset[str]:
    """Return the folders of these files, each with a slash at its end."""
    return frozenset(
        f"{folder}/" for path in tracked() for folder in PurePosixPath(path).parents if str(folder) != "."
    )


@cache
def documents() -> tuple[str, ...]:
    """Return the paths of all documents."""
    return tuple(sorted(path for path in tracked() if path.endswith(".md")))


@cache
def text_of(document: str) -> str:
    """Return what a document says."""
    return (PROJECT / document).read_text(encoding="utf-8")


def code(document: str) -> list[str]:
    """Return the code in a document: what stands between backticks, and indented lines."""
    text = text_of(document)
    return _CODE_SPAN.findall(text) + [line.strip() for line in _CODE_LINE.findall(text)]


def named_paths(text: str) -> set[str]:
    """Return what looks like a path of this project in the code spans of a text.

    That is what begins with one of its folders, or is a file beside them. What lies in ``data`` is made when
    the service runs.
    """
    roots = {path.partition("/")[0] for path in tracked()}
    found = set()
    for span in _CODE_SPAN.findall(text):
        for word in span.split():
            root, _, rest = word.partition("/")
            if root in roots and root != "data" and _PATH.fullmatch(word) and (rest or word in tracked()):
                found.add(word)
    return found


def exists(path: str) -> bool:
    """Tell whether there is such a file or folder in the project."""
    return path in tracked() or f"{path.rstrip('/')}/" in folders()


def links(document: str) -> list[tuple[str, str]]:
    """Return the links of a document to others, each as the path of the other one and a heading in it."""
    found = []
    for target in _LINK.findall(text_of(document)):
        if "://" not in target:
            path, _, heading = target.partition("#")
            file = (PROJECT / document).parent / path if path else PROJECT / document
            found.append((file.resolve().relative_to(PROJECT).as_posix(), heading))
    return found


def anchors(document: str) -> set[str]:
    """Return how links name the headings of a document."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in _HEADING.findall(text_of(document))
    }


@dataclass
class Picture:
    """A picture of a tree: what is drawn in each of its folders; the root is ``""``."""

    folders: dict[str, set[str]] = field(default_factory=dict)
    modules: dict[str, set[str]] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "Picture":
        """Read lines such as ``    http/   what it is``, two more spaces of indentation for each level."""
        picture, path = cls(), list[str]()
        for line in text.splitlines():
            row = _ROW.match(line)
            if row is None:
                continue
            depth, name = len(row[1]) // 2, row[2]
            del path[depth:]
            (picture.folders if name.endswith("/") else picture.modules).setdefault("".join(path), set()).add(
                name
            )
            path.append(name)
        return picture


def folders_in(parent: str) -> set[str]:
    """Return the folders right in a folder, without hidden ones."""
    depth = parent.count("/") + 1
    return {
        folder.removeprefix(parent)
        for folder in folders()
        if folder.startswith(parent) and folder.count("/") == depth and not folder.startswith(".")
    }


def modules_in(parent: str) -> set[str]:
    """Return the Python modules right in a folder."""
    return {
        path.removeprefix(parent)
        for path in tracked()
        if path.startswith(parent)
        and "/" not in path.removeprefix(parent)
        and path.endswith(".py")
        and not path.endswith("__init__.py")
    }
