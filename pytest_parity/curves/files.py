"""Files: how metrics files are named, which there are, and writing one that is finished."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from pytest_parity.curves.curve import Curve
from pytest_parity.curves.reading import SUFFIX
from pytest_parity.curves.starting import held
from pytest_parity.curves.whole import write_whole
from pytest_parity.errors import CurveError, UsageError

__all__ = ["find_curves", "metrics_path", "write_curve"]

_LONGEST = 200
"""Bytes of a name: with what is put before and behind it, it is to be a file's."""


def metrics_path(experiment_name: str, directory: str | os.PathLike[str]) -> Path:
    """Where an experiment's metrics are. Raises ``UsageError`` for a name that can be none of a file."""
    reason = _reason(experiment_name)
    if reason:
        raise UsageError(
            f"experiment_name {experiment_name!r} cannot be a file's name: {reason}; one looks like 'mdlm_wikitext_768d'"
        )
    return Path(directory) / f"{experiment_name}{SUFFIX}"


def write_curve(curve: Curve, directory: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write a curve as ``{experiment_name}_metrics.json`` in a directory, which is made where it is not there.

    The same curve gives the same bytes. Raises ``CurveError`` where the file is there already or cannot be written.
    """
    path = metrics_path(curve.experiment_name, directory)
    _check_lengths(curve)
    with held(path) as journal:
        if not overwrite and path.exists():
            raise CurveError(f"{path} is there already; overwrite=True replaces it, another experiment_name keeps both")
        write_whole(path, curve)
        journal.close()
    return path


def find_curves(paths: Iterable[str | os.PathLike[str]] | str | os.PathLike[str]) -> list[Path]:
    """The metrics files that are named, whatever they are called, and those in and below the directories that are.

    In the order of ``paths``, those of a directory by name, each once; what begins with a dot is passed over.
    Raises ``CurveError`` for a path that is not there and for a directory that has none.
    """
    named = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    if not named:
        raise UsageError(f"name a metrics file, or a directory that has *{SUFFIX}")
    found: dict[str, Path] = {}
    for one in map(Path, named):
        for path in _below(one) if one.is_dir() else [_there(one)]:
            found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def _check_lengths(curve: Curve) -> None:
    pairs: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {
        "steps": (curve.steps, curve.step_losses),
        "epochs": (curve.epochs, curve.epoch_losses),
    }
    pairs |= {f"series.{name}": (one.steps, one.values) for name, one in curve.series.items()}
    if len(curve.epoch_steps):
        pairs["epoch_steps"] = (curve.epoch_steps, curve.epochs)
    for name, (numbers, values) in pairs.items():
        if len(numbers) != len(values):
            raise UsageError(
                f"{curve.experiment_name}: {name} and its values are of one length, and here are {len(numbers)} and "
                f"{len(values)}"
            )


def _below(directory: Path) -> list[Path]:
    found = []
    for folder, folders, names in os.walk(directory):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(folder, name) for name in sorted(names) if name.endswith(SUFFIX) and not name.startswith(".")]
    if not found:
        raise CurveError(
            f"there is no *{SUFFIX} in {directory} or below it; name the files if they are called otherwise"
        )
    return found


def _there(path: Path) -> Path:
    if path.exists():
        return path
    beside = sorted(one.name for one in path.parent.glob("*.json")) if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, beside, n=3, cutoff=0.5)
    raise CurveError(f"there is no {path}" + (f"; {path.parent} has {', '.join(near)}" if near else ""))


def _reason(name: str) -> str:
    if not name or not name.strip():
        return "it is empty"
    if name.startswith("."):
        return "it starts with a dot"
    if any(character in '/\\:*?"<>|' or not character.isprintable() for character in name):
        return 'it has one of / \\ : * ? " < > | or a control character'
    if len(os.fsencode(name)) > _LONGEST:
        return f"it is longer than {_LONGEST} bytes"
    return ""
