"""Sources: of a project's python files, what a few of their names need, as files of their own that import torch alone."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Sources", "copy_name"]

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass
class _File:
    """A file, its top-level statements by the names that they bind, and those that are wanted."""

    path: Path
    module: str
    text: str
    statements: list[ast.stmt]
    defined: dict[str, list[ast.stmt]]
    needed: dict[ast.stmt, None] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, path: Path, module: str) -> _File:
        text = path.read_text(encoding="utf-8")
        statements = ast.parse(text).body
        defined: dict[str, list[ast.stmt]] = {}
        for statement in statements:
            for name in _bound(statement):
                defined.setdefault(name, []).append(statement)
        return cls(path, module, text, statements, defined)

    def want(self, name: str) -> None:
        """Take in what defines a name, and what that uses."""
        waiting = [name]
        while waiting:
            one = waiting.pop()
            if one not in self.seen:
                self.seen.add(one)
                for statement in self.defined.get(one, []):
                    self.needed[statement] = None
                    waiting += _used(statement)


class Sources:
    """Copies of what was asked for, over all files of a project.

    ``roots`` are the directories that the project is imported from. What imports anything besides torch, the standard
    library and the project is not copied; neither is what imports that. Annotations are not counted, since none is
    evaluated in a copy.
    """

    def __init__(self, roots: list[str]) -> None:
        self._roots = [Path(root) for root in dict.fromkeys(roots)]
        self._files: dict[str, _File] = {}
        self._obstacles: dict[str, str] = {}

    def add(self, module: str, path: str, names: list[str]) -> str:
        """Ask for names of a module; returns what stands in the way of a copy, empty where nothing does."""
        self._files.setdefault(module, _File.read(Path(path), module))
        return next(filter(None, [self._follow(module, name, ()) for name in names]), "")

    def _follow(self, module: str, name: str, around: tuple[str, ...]) -> str:
        file = self._files[module]
        file.want(name)
        if module in around:
            return self._obstacles.get(module, "")
        for statement in list(file.needed):
            for imported, names in _imported(statement, file):
                obstacle = "" if _is_common(imported) else self._enter(imported, names, (*around, module))
                if obstacle:
                    self._obstacles[module] = obstacle
                    return obstacle
        return self._obstacles.get(module, "")

    def _enter(self, module: str, names: list[str], around: tuple[str, ...]) -> str:
        if not names:
            return module
        if module not in self._files:
            parts = Path(*module.split("."))
            places = (root / one for root in self._roots for one in (parts.with_suffix(".py"), parts / "__init__.py"))
            path = next((place for place in places if place.is_file()), None)
            if path is None:
                return module
            self._files[module] = _File.read(path, module)
        unknown = [name for name in names if name not in self._files[module].defined]
        if unknown:
            return f"{module}.{unknown[0]}"
        return next(filter(None, [self._follow(module, name, around) for name in names]), "")

    def copies(self, wanted: Iterable[str]) -> dict[str, str]:
        """By module the text of a copy, for those of ``wanted`` and all that these import; they import one another."""
        found: dict[str, str] = {}
        waiting = sorted(wanted)
        while waiting:
            module = waiting.pop(0)
            if module not in found:
                file = self._files[module]
                found[module] = _copied(file)
                waiting += [
                    imported
                    for statement in file.needed
                    for imported, _ in _imported(statement, file)
                    if not _is_common(imported)
                ]
        return found


def copy_name(module: str) -> str:
    """The name under which a copy is imported."""
    return f"source_{re.sub(r'[^0-9a-zA-Z]+', '_', module)}"


def _copied(file: _File) -> str:
    lines = file.text.splitlines()
    parts = []
    for statement in file.statements:
        if statement not in file.needed or (isinstance(statement, ast.ImportFrom) and statement.module == "__future__"):
            continue
        text = "\n".join(lines[_first(statement) - 1 : statement.end_lineno])
        if isinstance(statement, ast.ImportFrom):
            ((module, _),) = _imported(statement, file)
            if not _is_common(module):
                wanted = [alias for alias in statement.names if (alias.asname or alias.name) in file.seen]
                text = f"from {copy_name(module)} import {', '.join(map(ast.unparse, wanted))}"
        parts.append(text)
    header = f"# Copied from {file.path}: what the module needs of it."
    return f"{header}\n\nfrom __future__ import annotations\n\n" + "\n\n".join(parts) + "\n"


def _first(statement: ast.stmt) -> int:
    decorators = statement.decorator_list if isinstance(statement, _Definition) else []
    return min([statement.lineno, *(one.lineno for one in decorators)])


def _bound(statement: ast.stmt) -> Iterator[str]:
    """The names that a top-level statement gives the module."""
    if isinstance(statement, _Definition):
        yield statement.name
        return
    for node in ast.walk(statement):
        if isinstance(node, ast.alias):
            yield (node.asname or node.name).partition(".")[0]
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, _Definition):
            yield node.name


def _used(node: ast.AST) -> Iterator[str]:
    """The names that a statement reads, but in annotations."""
    if isinstance(node, ast.Name):
        yield node.id
    for name, child in ast.iter_fields(node):
        if name not in {"annotation", "returns"}:
            for one in child if isinstance(child, list) else [child]:
                if isinstance(one, ast.AST):
                    yield from _used(one)


def _imported(statement: ast.stmt, file: _File) -> Iterator[tuple[str, list[str]]]:
    """The modules that a statement imports, each with the names that are wanted of it; none of an ``import``."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = file.module.split(".") + ([""] if file.path.name == "__init__.py" else [])
            above = package[: -node.level] if node.level else []
            top = node is statement
            names = [alias.name for alias in node.names if not top or (alias.asname or alias.name) in file.seen]
            yield ".".join([*above, *([node.module] if node.module else [])]), names if top else []


def _is_common(module: str) -> bool:
    top = module.partition(".")[0]
    return top == "torch" or top in sys.stdlib_module_names
