"""Case names, and the cases that a directory of goldens holds."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from pytest_parity.errors import GoldenError, UsageError

__all__ = ["MANIFEST", "cases", "check_case_name", "check_no_prefix", "nearest"]

MANIFEST = "golden.json"
_COMPONENT_BYTES = 200
_REPLACED = re.compile(r"\.(?P<name>.+)\.replaced-[0-9a-f]{8}")


def check_case_name(name: str) -> None:
    """Raise ``UsageError`` unless ``name`` is a relative path that is safe below any directory.

    Components are separated by ``/``; none is empty, starts with a dot, or exceeds 200 bytes; there is no backslash
    and no control character.
    """
    reason = _reason(name)
    if reason:
        raise UsageError(f"{name!r} cannot be a case: {reason}; a case looks like 'nest/tiny'")


def cases(root: Path) -> tuple[str, ...]:
    """The names of the cases below ``root``, sorted; none where there is no such directory."""
    return tuple(sorted(_walk(str(root), ""))) if root.is_dir() else ()


def nearest(name: str, among: tuple[str, ...]) -> tuple[str, ...]:
    """``among``, those that look most like ``name`` first."""

    def likeness(other: str) -> float:
        return difflib.SequenceMatcher(None, name, other).ratio()

    return tuple(sorted(among, key=likeness, reverse=True))


def check_no_prefix(root: Path, case: str) -> None:
    """Raise ``GoldenError`` if ``case`` lies inside another case of ``root``, or holds one."""
    above = [parent.as_posix() for parent in Path(case).parents if (root / parent / MANIFEST).is_file()]
    below = [f"{case}/{inner}" for inner in cases(root / case)]
    if above or below:
        other = (above or below)[0]
        raise GoldenError(
            f"case {case!r} cannot be recorded under {root}: case {other!r} is there, and one is a path prefix of the "
            f"other; rename one of them, or remove {root / other}"
        )


def _reason(name: str) -> str:
    parts = name.split("/")
    if not name or "" in parts:
        return "it has an empty component"
    if any(part.startswith(".") for part in parts):
        return "a component starts with a dot"
    if "\\" in name or any(ord(character) < 32 or ord(character) == 127 for character in name):  # noqa: PLR2004
        return "it has a backslash or a control character"
    if any(len(os.fsencode(part)) > _COMPONENT_BYTES for part in parts):
        return f"a component is longer than {_COMPONENT_BYTES} bytes"
    return ""


def _walk(directory: str, prefix: str) -> Iterator[str]:
    names = {entry.name: entry for entry in os.scandir(directory)}
    if prefix and MANIFEST in names:
        yield prefix
        return
    for name, entry in names.items():
        interrupted = _REPLACED.fullmatch(name)
        if interrupted and interrupted["name"] not in names:
            yield _join(prefix, interrupted["name"])
        elif not name.startswith(".") and entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path, _join(prefix, name))


def _join(prefix: str, name: str) -> str:
    return f"{prefix}/{name}" if prefix else name
