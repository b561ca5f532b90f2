"""Staging: the directory that a recording writes to, beside the golden that it will replace.

It is held by a lock that ends with the process, so that a later recording knows a dead one's directory from a live one's.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from pytest_parity.golden.cases import MANIFEST
from pytest_parity.golden.exchange import exchange, find_hidden, hidden, recover, sync

try:
    import fcntl
except ImportError:  # a system without locks: what a killed recording left stays, hidden
    fcntl = None  # type: ignore[assignment]

__all__ = ["OWN", "Staging", "held", "swept"]

OWN = re.compile(rf"{re.escape(MANIFEST)}|step_\d+|.*\.safetensors")
"""What a golden's directory has of its own; the rest was put there by someone else."""


class Staging:
    """A fresh hidden directory beside ``target``, locked until it is committed or discarded. Raises ``OSError``."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self._created = _make_parents(target.parent)
        recover(target)
        _clean(target)
        self._token, self._lock = _create(target)
        self.path = hidden(target, "recording", self._token)

    def commit(self) -> None:
        """Put everything on disk, and in ``target``'s place; of what was there before only the golden is removed."""
        _carry_over(self.target, self.path)
        for folder, _, names in os.walk(self.path):
            for name in names:
                if not Path(folder, name).is_symlink():
                    sync(Path(folder, name))
            sync(Path(folder))
        old = exchange(self.target, self._token)
        for parent in (self.target.parent, *(path.parent for path in self._created)):
            with contextlib.suppress(OSError):  # the new golden is in its place, so this is no failure any more
                sync(parent)
        self._release()
        if old is not None:
            shutil.rmtree(old, ignore_errors=True)

    def discard(self) -> None:
        """Remove the directory, and the parents that were made for it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._release()
        for parent in reversed(self._created):
            with contextlib.suppress(OSError):
                parent.rmdir()

    def _release(self) -> None:
        if self._lock >= 0:
            if fcntl is not None:
                fcntl.flock(self._lock, fcntl.LOCK_UN)  # also for the handles that worker processes inherited
            os.close(self._lock)
            self._lock = -1


def _make_parents(directory: Path) -> list[Path]:
    """Make a directory; returns those that were not there, outermost first."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    return missing[::-1]


def _create(target: Path) -> tuple[str, int]:
    while True:
        token = secrets.token_hex(4)
        path = hidden(target, "recording", token)
        # Another recording that is given up takes the parents that it made with it, where they are empty.
        path.mkdir(parents=True)
        handle = _locked(path)
        if handle is not None:
            return token, handle


def held(path: Path) -> int | None:
    """A handle that keeps others from a dead recording's directory; None where it is alive, or nobody can tell."""
    return None if fcntl is None else _locked(path)


def _locked(path: Path) -> int | None:
    """A handle that holds the directory's lock; None if someone else has it, or it is gone."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(handle), path.stat()):
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(handle)
    return None


def _carry_over(old: Path, new: Path) -> None:
    """Copy what someone put beside a golden's own files: a README, what version control is to know of them."""
    for path in old.iterdir() if old.is_dir() else ():
        if OWN.fullmatch(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, new / path.name, symlinks=True)
        else:
            shutil.copy2(path, new / path.name, follow_symlinks=False)


def _clean(target: Path) -> None:
    """Remove what killed recordings of this target left."""
    replaced = find_hidden(target, "replaced") if target.exists() else []
    for path, _ in [*find_hidden(target, "recording"), *replaced]:
        handle = held(path)
        if handle is not None:
            shutil.rmtree(path, ignore_errors=True)
            os.close(handle)


@contextlib.contextmanager
def swept(target: Path) -> Iterator[None]:
    """After it, nothing is left of a recording of ``target`` that another process began inside, and was killed in."""
    missing = [path for path in (target.parent, *target.parent.parents) if not path.exists()]
    try:
        yield
    finally:
        recover(target)
        _clean(target)
        for parent in missing:
            with contextlib.suppress(OSError):
                parent.rmdir()
