"""Finds the attributes of uvicorn's and httptools' classes that some code uses."""

import ast
import inspect
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache

import httptools
import uvicorn
from uvicorn.lifespan.on import LifespanOn
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

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


INTERNAL = set().union(*(members(kind) for fields in FIELD_TYPES.values() for kind in fields.values()))
INTERNAL |= set().union(*(members(kind) for kind in ROOTS.values()))
INTERNAL -= {"__init__"}


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
