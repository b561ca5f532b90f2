"""Exchange: a new directory takes an old one's place, and a kill at any moment leaves one of the two whole.

Linux does it in one operation. Elsewhere it takes two renames::

    nest/tiny                      ->  nest/.tiny.replaced-1a2b3c4d      (1)
    nest/.tiny.recording-1a2b3c4d  ->  nest/tiny                        (2)

Between them there is no ``nest/tiny``; ``recover`` knows that state by the token that the two hidden names share, and
does the second.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
from pathlib import Path

__all__ = ["exchange", "hidden", "recover", "sync"]

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_UNABLE = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)


def hidden(target: Path, role: str, token: str) -> Path:
    """The directory beside ``target`` that has this role, ``recording`` or ``replaced``, in one recording."""
    return target.with_name(f".{target.name}.{role}-{token}")


def find_hidden(target: Path, role: str) -> list[tuple[Path, str]]:
    """The directories beside ``target`` that have this role, each with its token."""
    pattern = re.compile(re.escape(f".{target.name}.{role}-") + "([0-9a-f]{8})")
    try:
        matches = [(path, pattern.fullmatch(path.name)) for path in sorted(target.parent.iterdir())]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [(path, match[1]) for path, match in matches if match]


def exchange(target: Path, token: str) -> Path | None:
    """Put the recording with this token in ``target``'s place; returns where the old one is now, if there was one.

    Raises ``OSError``; the old directory is at its place then.
    """
    new = hidden(target, "recording", token)
    if not target.exists():
        new.rename(target)
        return None
    if swap(new, target):
        return new
    old = hidden(target, "replaced", token)
    target.rename(old)
    try:
        _complete(new, target)
    except OSError:
        old.rename(target)
        raise
    return old


def swap(one: Path, other: Path) -> bool:
    """Exchange two directories in one operation; False where the system or the file system has none."""
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is None:
        return False
    function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    if function(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNABLE:
        return False
    raise OSError(number, os.strerror(number), str(other))


def recover(target: Path) -> None:
    """Finish an exchange that was killed between its two renames; does nothing where there is none."""
    if target.exists():
        return
    for old, token in find_hidden(target, "replaced"):
        new = hidden(target, "recording", token)
        _complete(new if new.exists() else old, target)
        return


def sync(path: Path) -> None:
    """Have a file's or a directory's content reach the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _complete(new: Path, target: Path) -> None:
    """The second rename. A reader may have recognised the middle state, and done it first."""
    with contextlib.suppress(FileNotFoundError):
        new.rename(target)
    if not target.exists():
        raise FileNotFoundError(errno.ENOENT, "the recording is gone", str(new))
