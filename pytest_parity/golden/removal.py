"""Removal: a golden that nobody uses any more, and what killed recordings left; never what someone else put there."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from pytest_parity.golden.cases import MANIFEST
from pytest_parity.golden.exchange import hidden, recover
from pytest_parity.golden.staging import OWN, held

__all__ = ["find_litter", "foreign", "remove_golden", "remove_litter"]

_HIDDEN = re.compile(r"\.(?P<name>.+)\.(?P<role>recording|replaced)-(?P<token>[0-9a-f]{8})")


def foreign(case: Path) -> list[Path]:
    """What is in a golden's directory and no part of a golden: a README, say."""
    return [path for path in sorted(case.iterdir()) if not OWN.fullmatch(path.name)] if case.is_dir() else []


def remove_golden(root: Path, case: str) -> None:
    """Remove a golden's own files, its manifest last, and the directories that are empty then. Raises ``OSError``."""
    directory = root / case
    recover(directory)
    own = [path for path in directory.iterdir() if OWN.fullmatch(path.name)]
    for path in sorted(own, key=lambda path: path.name == MANIFEST):  # until the last, the next run finds it again
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    while directory != root and not any(directory.iterdir()):
        directory.rmdir()
        directory = directory.parent


def find_litter(root: Path) -> list[Path]:
    """The directories that killed recordings left below ``root``; those of recordings that still run are not."""
    found = []
    for folder, names, _ in os.walk(root):
        for path in (Path(folder, name) for name in names):
            handle = held(path) if _is_litter(path) else None
            if handle is not None:
                os.close(handle)
                found.append(path)
        names[:] = [name for name in names if not name.startswith(".")]
    return sorted(found)


def remove_litter(path: Path) -> None:
    """Remove what a killed recording left, unless another recording holds it by now. Raises ``OSError``."""
    handle = held(path)
    if handle is not None:
        shutil.rmtree(path)
        os.close(handle)


def _is_litter(path: Path) -> bool:
    """Whether it has a recording's name; not in the middle of an exchange, which the next reader finishes."""
    match = _HIDDEN.fullmatch(path.name)
    if match is None:
        return False
    target = path.with_name(match["name"])
    return target.exists() or not hidden(target, "replaced", match["token"]).exists()
