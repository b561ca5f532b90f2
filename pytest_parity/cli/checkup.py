"""Goldens and their place, looked at: whether all can be read, what they were recorded with, what is other here."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from pytest_parity.cli.common import open_golden, places, size_on_disk
from pytest_parity.contract.environment import differences, environment, rounding_of
from pytest_parity.errors import GoldenError
from pytest_parity.golden.cases import cases
from pytest_parity.golden.entry import NONE
from pytest_parity.golden.exchange import swap
from pytest_parity.golden.manifest import FileRecord
from pytest_parity.golden.reader import Golden
from pytest_parity.golden.removal import find_litter
from pytest_parity.golden.source import Source
from pytest_parity.report.remedy import by_the_run, remedy
from pytest_parity.report.words import amount, size, steps_words

__all__ = ["devices", "golden_checkup", "here", "place_checkup", "which"]


def which(names: Sequence[str], root: Path) -> list[Path]:
    """The directories of the goldens that are asked for: all of the root where none are named.

    Raises ``GoldenNotFound`` for a name that is neither a golden's nor a directory's that holds some.
    """
    found: list[Path] = []
    for name in names or [str(root)]:
        there = places(Path(name)) or places(root / name)
        if not there and names:
            open_golden(name, root).close()
        found += [path for _, path in there]
    return list(dict.fromkeys(found))


def devices() -> list[str]:
    """What torch can compute on, in words."""
    cuda = [f"cuda:{place} ({torch.cuda.get_device_name(place)})" for place in range(torch.cuda.device_count())]
    return ["cpu", *cuda, *(["mps"] if torch.backends.mps.is_available() else [])]


def here(device: str) -> dict[str, str]:
    """This process's environment, for a model on a device of this kind, or on the CPU where there is none."""
    there = torch.device(device) if any(one.split(":")[0] == device for one in devices()) else torch.device("cpu")
    return environment(there)


def place_checkup(root: Path) -> list[str]:
    """Lines on the directory of the goldens: what is there, whether one is exchanged in one operation, room."""
    if not root.is_dir():
        return [
            f"goldens: there is no {root} here; record some with pytest --parity-record, or name the place by --root"
        ]
    litter = find_litter(root)
    lines = [
        f"goldens: {amount(len(cases(root)), 'case')} in {root}, {size(shutil.disk_usage(root).free)} free, {_exchange(root)}"
    ]
    if litter:
        lines.append(f"  killed recordings left {amount(len(litter), 'leftover')} there: parity prune --yes")
    return lines


def _exchange(root: Path) -> str:
    """Whether the file system can exchange two directories in one operation."""
    try:
        with tempfile.TemporaryDirectory(prefix=".parity-doctor-", dir=root) as directory:
            one, other = Path(directory, "one"), Path(directory, "other")
            one.mkdir()
            other.mkdir()
            if swap(one, other):
                return "exchanged in one operation"
            return "exchanged by two renames, which the next reader finishes if the first alone was done"
    except OSError as error:
        return f"read-only ({error.strerror}): checking works, recording there does not"


def golden_checkup(path: Path) -> dict[str, Any]:
    """What one golden needs, and what of it is other here; ``problems`` can change its numbers, ``notes`` cannot."""
    try:
        with Golden.open(path) as golden:
            unreadable = list(_unreadable(golden))
            return {"case": golden.case, **(_NOTHING | {"problems": unreadable} if unreadable else _needs(golden))}
    except GoldenError as error:
        return {"case": path.name, **_NOTHING, "problems": [str(error)]}


_NOTHING: dict[str, Any] = {"needs": [], "notes": [], "differences": {}}


def _unreadable(golden: Golden) -> Iterator[str]:
    """Files that are missing, cut short or pointers of Git LFS; of many alike the first."""
    said = [_error_of(golden.path, *item) for item in golden.manifest["files"].items()]
    errors = [error for error in said if error]
    if len(errors) > 1:
        yield f"{amount(len(errors), 'file')} cannot be read; the first: {errors[0]}"
    else:
        yield from errors


def _error_of(root: Path, name: str, record: FileRecord) -> str:
    try:
        Source(root, name, record).close()
    except GoldenError as error:
        return str(error)
    return ""


def _needs(golden: Golden) -> dict[str, Any]:
    provenance = dict(golden.manifest["provenance"])
    recorded: Mapping[str, str] = provenance.pop("environment", {})
    device = recorded.get("device", "cpu").partition(" ")[0]
    other = differences(recorded, here(device))
    lines = {name: _line(name, *pair) for name, pair in other.items() if not by_the_run(name)}
    set_later = [f"{name} {pair[0]} (now {pair[1]})" for name, pair in other.items() if by_the_run(name)]
    notes = [line for name, line in lines.items() if rounding_of((name,)) is None]
    if set_later:
        notes.append(f"to be set by the test, its profile or the script: {', '.join(set_later)}")
    takes, free = size_on_disk(golden), shutil.disk_usage(golden.path).free
    if takes > free:
        notes.append(
            f"to record it again there is no room: it takes {size(takes)} beside the old one, {size(free)} are free"
        )
    return {
        "needs": list(_recorded_with(golden, recorded, provenance)),
        "notes": notes,
        "differences": {name: {"golden": pair[0], "here": pair[1]} for name, pair in other.items()},
        "problems": [*(line for line in lines.values() if line not in notes), *_dtypes(golden)],
    }


def _line(name: str, golden: str, ours: str) -> str:
    return f"{name}: {ours} here, {golden} in the golden; {remedy(name, golden, ours)}"


def _recorded_with(golden: Golden, recorded: Mapping[str, str], provenance: Mapping[str, Any]) -> Iterator[str]:
    """What the golden says of its own run, in three lines at most."""
    settings = golden.manifest["settings"]
    said = [f"torch {recorded['torch']}" if "torch" in recorded else "an environment that it does not tell"]
    said += [f"on {recorded['device']}"] if "device" in recorded else []
    said += [amount(int(recorded["threads"]), "thread")] if "threads" in recorded else []
    said += [f"profile {settings['profile']}"] if "profile" in settings else []
    yield f"recorded with {', '.join(said)}; {steps_words(golden.steps) or 'no step'}"
    if settings.get("kinds"):
        yield f"kinds: {', '.join(settings['kinds'])}"
    own = [f"{name} {value}{_ours(name, str(value))}" for name, value in provenance.items()]
    if own:
        yield f"provenance: {', '.join(own)}"


def _ours(name: str, recorded: str) -> str:
    """How an installed package of this name differs; a candidate need not have the reference's."""
    try:
        found = version(name)
    except (PackageNotFoundError, ValueError):
        return ""
    return "" if found == recorded else f" ({found} here)"


def _dtypes(golden: Golden) -> Iterator[str]:
    """Types of numbers that this torch does not have."""
    kept = {entry.dtype for step in golden.steps for entry in golden.entries(step)} - {NONE}
    for name in sorted(name for name in kept if not hasattr(torch, name)):
        yield f"dtype {name}: torch {torch.__version__} does not have it; pip install --upgrade torch"
