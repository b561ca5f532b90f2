"""``parity verify``: every byte of goldens against its digest, and whether everything is there that should be."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_parity.cli.common import add_json, default_root, places, say, size_on_disk, write_json
from pytest_parity.cli.terminal import BOLD, GREEN, RED, Style, progress
from pytest_parity.errors import GoldenError, UsageError
from pytest_parity.golden.cases import MANIFEST
from pytest_parity.report.words import amount, size

if TYPE_CHECKING:
    from pytest_parity.cli.common import Subparsers
    from pytest_parity.cli.terminal import Advance
    from pytest_parity.golden.reader import Golden

__all__ = ["add_parser", "problems", "run"]

_STEP = re.compile(r"step_\d+")
_KINDS = ("batch", "inputs", "activation", "outputs", "loss", "gradients", "updated_weights")
"""Files of a step that a training script's checkpoint would not have."""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "verify",
        help="every byte against its digest, and whether all is there",
        description="Verify goldens: digests, and completeness. Names all that is wrong; exit status 1 where something is.",
        epilog="Example:\n  parity verify golden/",
    )
    parser.add_argument(
        "paths",
        nargs="*",
        type=Path,
        metavar="PATH",
        help="cases' directories, or directories that hold cases (default: environment PARITY_REF, then golden/)",
    )
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Verify every case at or below the paths."""
    found: dict[str, Any] = {}
    style = Style.of(args.color, sys.stdout)
    for name, directory in _cases(args.paths or [default_root(None)]):
        found[str(directory)] = _verified(args, name, directory)
        if not args.json:
            say(_lines(directory, found[str(directory)], style))
    bad = sum(bool(one["problems"]) for one in found.values())
    if args.json:
        write_json({"goldens": found, "bad": bad})
    else:
        say(
            [
                f"{amount(len(found), 'golden')} verified, {bad} bad"
                if bad
                else f"{amount(len(found), 'golden')} verified"
            ]
        )
    return 1 if bad else 0


def _cases(paths: Iterable[Path]) -> list[tuple[str, Path]]:
    """What is to be verified, each once; every path has something, before anything is read."""
    found: dict[Path, tuple[str, Path]] = {}
    for path in paths:
        there = [*places(path), *_headless(path)]
        if not there:
            raise UsageError(f"there is no golden at or below {path}; record one with: pytest --parity-record")
        for name, directory in there:
            found.setdefault(directory.resolve(), (name if name != "." else directory.resolve().name, directory))
    return list(found.values())


def _headless(path: Path) -> Iterator[tuple[str, Path]]:
    """Directories below that hold a golden's steps and no manifest, by name."""
    for folder, names, files in os.walk(path):
        if MANIFEST in files:
            names[:] = []
        steps = [Path(folder) / name for name in names if _STEP.fullmatch(name)]
        if any(any(step.glob(f"{kind}*.safetensors")) for step in steps for kind in _KINDS):
            yield Path(folder).relative_to(path).as_posix(), Path(folder)
        names[:] = [name for name in names if not name.startswith(".")]


def _verified(args: argparse.Namespace, name: str, directory: Path) -> dict[str, Any]:
    from pytest_parity.golden.reader import Golden  # noqa: PLC0415

    try:
        with Golden.open(directory) as golden:
            with progress(args, f"verifying {golden.case}", _bytes_said(golden)) as advance:
                wrong = list(problems(golden, advance))
            if wrong:
                return {"case": golden.case, "sites": 0, "bytes": 0, "problems": wrong}
            sites = sum(len(golden.entries(step)) for step in golden.steps)
            return {"case": golden.case, "sites": sites, "bytes": size_on_disk(golden), "problems": []}
    except GoldenError as error:
        return {"case": name, "sites": 0, "bytes": 0, "problems": [str(error)]}


def _bytes_said(golden: Golden) -> int:
    """The bytes of its tensors, as far as its manifest says."""
    said = [info.get("sizes") for info in golden.manifest["steps"].values()]
    return sum(count for sizes in said if isinstance(sizes, dict) for _, count in sizes.values())


def _lines(directory: Path, one: dict[str, Any], style: Style) -> Iterator[str]:
    if not one["problems"]:
        well = style("all as recorded", GREEN)
        yield f"{one['case']}: {amount(one['sites'], 'site')}, {size(one['bytes'])}, {well}"
        return
    wrong = style(amount(len(one["problems"]), "problem"), RED, BOLD)
    yield f"{one['case']}: {wrong} in {directory}"
    yield from (f"  {problem}" for problem in one["problems"])


def problems(golden: Golden, advance: Advance) -> Iterator[str]:
    """All that is wrong with a golden whose manifest can be read: files, sites, bytes, noise floors, strays."""
    yield from _stray(golden)
    whole: set[str] = set()
    yield from _files(golden, whole)
    for step in golden.steps:
        records = golden.manifest["files"].items()
        if all(name in whole for name, record in records if record["step"] == step):
            yield from _step(golden, step, advance)
    yield from _noise(golden)
    if error := _error(lambda: golden.curves):
        yield error


def _files(golden: Golden, whole: set[str]) -> Iterator[str]:
    """What is wrong with files; those that can be read are put into ``whole``."""
    from pytest_parity.golden.source import Source  # noqa: PLC0415

    for name, record in golden.manifest["files"].items():
        error = _error(lambda name=name, record=record: Source(golden.path, name, record).close())  # type: ignore[misc]
        if error:
            yield error
        else:
            whole.add(name)


def _step(golden: Golden, step: int, advance: Advance) -> Iterator[str]:
    """What is wrong with a step whose files' headers are as recorded."""
    import torch  # noqa: PLC0415

    error = _error(lambda: golden.entries(step))
    if error:
        yield error
        return
    yield from _counts(golden, step)
    buffer = torch.empty(1 << 20, dtype=torch.uint8)
    for entry in golden.entries(step):
        error = _error(lambda entry=entry: deque(golden.chunks(entry, buffer), maxlen=0))  # type: ignore[misc]
        advance(entry.nbytes)
        if error:
            yield error


def _error(action: Callable[[], object]) -> str:
    """What is wrong with a golden when it is read so; empty where nothing is."""
    try:
        action()
    except GoldenError as error:
        return str(error)
    return ""


def _counts(golden: Golden, step: int) -> Iterator[str]:
    """Whether the step has as many sites of each kind as the manifest says."""
    sizes = golden.manifest["steps"][str(step)].get("sizes")
    if not isinstance(sizes, dict):
        return
    there = Counter(entry.site.kind.value for entry in golden.entries(step))
    for kind in sorted({*sizes, *there}):
        said = sizes[kind][0] if kind in sizes else 0
        if said != there[kind]:
            yield f"step {step} of {golden.path} has {there[kind]:,} of kind {kind}, and its manifest says {said:,}"


def _noise(golden: Golden) -> Iterator[str]:
    from pytest_parity.golden.noise import FILE  # noqa: PLC0415

    error = _error(lambda: golden.noise)
    if error or golden.noise is None:
        yield from [error] if error else []
        return
    for step, rows in golden.noise.steps.items():
        if step not in golden.steps:
            yield f"{golden.path / FILE} has floors of step {step}, which the golden does not keep"
        elif rows and not _error(lambda step=step: golden.entries(step)):  # type: ignore[misc]
            sites = max((entry.order + 1 for entry in golden.entries(step)), default=0)
            if len(rows) < sites:
                yield f"{golden.path / FILE} has {len(rows):,} floors in step {step}, and there are {sites:,} sites"


def _stray(golden: Golden) -> Iterator[str]:
    """Files that look like a golden's and that its manifest does not name; others are someone else's, and fine."""
    from pytest_parity.golden.curves import FILE as CURVES  # noqa: PLC0415
    from pytest_parity.golden.noise import FILE  # noqa: PLC0415

    further = {"noise": FILE, "curves": CURVES}
    own = {*golden.manifest["files"], *(file for key, file in further.items() if golden.manifest.get(key))}
    for path in sorted([*golden.path.glob("*.safetensors"), *golden.path.glob("step_*/*.safetensors")]):
        if path.relative_to(golden.path).as_posix() not in own:
            yield f"{path} is not one of the golden's files: its manifest does not name it; remove it"
