"""What the commands share: where goldens are, how a case is named, and output for people or for programs."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_parity.golden.reader import Golden

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse has no other name for it

__all__ = [
    "add_behind",
    "add_json",
    "add_root",
    "default_root",
    "open_golden",
    "places",
    "say",
    "size_on_disk",
    "step_list",
    "strict",
    "write_json",
]


def add_root(parser: argparse.ArgumentParser) -> None:
    """``--root``."""
    parser.add_argument(
        "--root",
        type=Path,
        metavar="DIR",
        help="where the goldens are (default: environment PARITY_REF, then golden/)",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help="for programs: one JSON object")


def add_behind(parser: argparse.ArgumentParser, what: str, explained: str) -> None:
    """What stands behind ``--``, for a command that is among ``BEHIND``: ``args.behind``, word by word."""
    parser.add_argument("behind", nargs="*", metavar=f"-- {what}", help=explained)


def step_list(text: str) -> tuple[int, ...]:
    """``0,1,2`` or ``0-4,10`` as numbers, as argparse converts an option's value."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = (word.strip() for word in part.partition("-"))
        if not first.isdecimal() or (dash and not last.isdecimal()) or (dash and int(last) < int(first)):
            raise argparse.ArgumentTypeError(f"{text!r} is no list of steps; write 0,1,2 or 0-4,10")
        found += range(int(first), int(last or first) + 1)
    return tuple(found)


def default_root(root: Path | None) -> Path:
    """The directory of the goldens: what was given, the environment's, ``golden``."""
    return root or Path(os.environ.get("PARITY_REF") or "golden")


def open_golden(name: str, root: Path | None) -> Golden:
    """The golden of a path, or of a case below the root; raises ``GoldenError`` and ``UsageError``.

    A directory that is no golden may have the name of a case all the same.
    """
    from pytest_parity.golden.cases import MANIFEST  # noqa: PLC0415
    from pytest_parity.golden.reader import Golden  # noqa: PLC0415

    path, below = Path(name), default_root(root)
    is_path = path.is_dir() and ((path / MANIFEST).is_file() or not (below / path / MANIFEST).is_file())
    return Golden.open(path) if is_path else Golden.find(below, name)


def size_on_disk(golden: Golden) -> int:
    """Bytes of a golden's files, the manifest and the noise floors among them; raises ``OSError`` where one is not there."""
    from pytest_parity.golden.cases import MANIFEST  # noqa: PLC0415
    from pytest_parity.golden.noise import FILE  # noqa: PLC0415

    further = [MANIFEST, *([FILE] if golden.manifest.get("noise") else [])]
    return sum((golden.path / name).stat().st_size for name in (*further, *golden.manifest["files"]))


def places(path: Path) -> list[tuple[str, Path]]:
    """The cases at or below a path, by name, each with its directory; of a case's own directory that alone."""
    from pytest_parity.golden.cases import MANIFEST, cases  # noqa: PLC0415  needs xxhash, which doctor does without

    if (path / MANIFEST).is_file():
        return [(path.name, path)]
    return [(case, path / case) for case in cases(path)]


def say(lines: Iterable[str]) -> None:
    """Write lines for people."""
    for line in lines:
        sys.stdout.write(f"{line}\n")


def write_json(value: Any) -> None:
    """Write one JSON object; NaN and infinities, which JSON has not, as strings."""
    sys.stdout.write(json.dumps(strict(value), indent=2, allow_nan=False) + "\n")


def strict(value: Any) -> Any:
    """A value as JSON has it: NaN and infinities are strings."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {str(key): strict(item) for key, item in value.items()}
    return [strict(item) for item in value] if isinstance(value, (list, tuple)) else value
