"""``parity doctor``: what is installed and switched on here, and what a golden needs of an environment that this is not."""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_parity.cli.common import add_json, add_root, default_root, say, write_json
from pytest_parity.cli.installed import Package, packages, plugin_problem
from pytest_parity.cli.terminal import BOLD, GREEN, RED, Style, progress
from pytest_parity.errors import UsageError
from pytest_parity.report.words import amount, listed

if TYPE_CHECKING:
    from pytest_parity.cli.common import Subparsers

__all__ = ["add_parser", "run"]

_SHOWN_CASES = 3


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "doctor",
        help="what is installed, what goldens need, and what is missing here",
        description="Look at this environment: packages, devices, switches, pytest's plugin, the place of the goldens; and at "
        "what each golden was recorded with, as far as it can be known before a test runs. Each problem says what to type. "
        "Exit status 0: all is well; 1: something is missing, or other than in a golden's run in a way that can change its "
        "numbers; 2: trouble.",
        epilog="Example:\n  parity doctor nest/tiny",
    )
    parser.add_argument(
        "goldens",
        nargs="*",
        metavar="GOLDEN",
        help="cases below --root, or directories of goldens (default: every case below --root)",
    )
    add_root(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Look at everything, then say it."""
    if args.root is not None and not args.root.is_dir():
        raise UsageError(f"--root {args.root}: there is no such directory; without --root: {default_root(None)}")
    found = _everything(args)
    if args.json:
        write_json(found)
    else:
        say(_lines(found, Style.of(args.color, sys.stdout), named=bool(args.goldens)))
    return 1 if found["problems"] else 0


def _everything(args: argparse.Namespace) -> dict[str, Any]:
    with progress(args, "looking around", 3, "place") as advance:
        there = list(packages())
        advance(1)
        plugin = plugin_problem()
        advance(1)
        found: dict[str, Any] = {
            "python": platform.python_version(),
            "pytest-parity": _version(),
            "packages": {one.name: {"version": one.version, "purpose": one.purpose} for one in there},
            "plugin": {"active": not plugin, "problem": plugin},
            "machine": {},
            "goldens": {},
            "problems": [one.problem for one in there if one.problem],
        }
        broken = _broken(there)
        if broken:
            found["problems"] += [*broken, "no golden was looked at, which takes what is missing"]
        else:
            _with_goldens(args, found)
        advance(1)
    if plugin:
        found["problems"].append(f"pytest's plugin: {plugin}")
    return found


def _with_goldens(args: argparse.Namespace, found: dict[str, Any]) -> None:
    from pytest_parity.cli.checkup import devices, golden_checkup, here, place_checkup, which  # noqa: PLC0415

    root = default_root(args.root)
    chosen = which(args.goldens, root)
    found["machine"] = {"devices": devices(), "environment": here("cpu")}
    found["place"] = place_checkup(root)
    whose: dict[str, list[str]] = {}
    for path in chosen:
        checked = found["goldens"][str(path)] = golden_checkup(path)
        for problem in checked["problems"]:
            whose.setdefault(problem, []).append(checked["case"])
    found["problems"] += [f"{listed(cases, _SHOWN_CASES)}: {problem}" for problem, cases in whose.items()]


def _broken(there: list[Package]) -> list[str]:
    """Packages that are needed and cannot be imported, with why; those that are not installed are told already."""
    found = []
    for one in there:
        if not one.purpose and one.version:
            try:
                import_module(one.name)
            except Exception as error:  # noqa: BLE001  a broken library raises what it likes
                found.append(
                    f"{one.name} {one.version} cannot be imported: {type(error).__name__}: {error}; reinstall it"
                )
        elif not one.purpose:
            found.append("")
    return [line for line in found if line] or (["what is not installed comes first"] if found else [])


def _version() -> str:
    try:
        return version("pytest-parity")
    except PackageNotFoundError:
        return "(not installed)"


def _lines(found: dict[str, Any], style: Style, *, named: bool) -> Iterator[str]:
    yield f"pytest-parity {found['pytest-parity']}, python {found['python']}, {Path(sys.prefix)}"
    yield from _package_lines(found["packages"])
    plugin = "active in pytest here" if found["plugin"]["active"] else style("not active", RED)
    yield f"plugin: {plugin}"
    yield from _machine_lines(found)
    for one in found["goldens"].values():
        yield from _golden_lines(one, style, whole=named or bool(one["problems"]))
    problems = found["problems"]
    if not problems:
        yield style("all is well", GREEN, BOLD)
        return
    yield style(f"{amount(len(problems), 'problem')}:", RED, BOLD)
    yield from (f"  {problem}" for problem in problems)


def _package_lines(found: dict[str, Any]) -> Iterator[str]:
    width = max(map(len, found))
    for name, one in found.items():
        purpose = f"  ({one['purpose']})" if one["purpose"] else ""
        yield f"  {name.ljust(width)}  {one['version'] or 'not installed'}{purpose}"


def _machine_lines(found: dict[str, Any]) -> Iterator[str]:
    if not found["machine"]:
        return
    environment = found["machine"]["environment"]
    yield f"devices: {', '.join(found['machine']['devices'])}"
    for title, names in _SHOWN.items():
        said = [f"{name} {environment[name]}" for name in names if environment.get(name, "absent") != "absent"]
        yield f"{title}: {', '.join(said)}"
    yield from found["place"]


_SHOWN = {
    "computes with": ("threads", "interop threads", "CPU capability", "MKL", "oneDNN", "CUDA"),
    "precision": (
        "default dtype",
        "autocast",
        "float32 matmul precision",
        "TF32 in matrix products",
        "TF32 in convolutions",
    ),
    "determinism": (
        "deterministic algorithms",
        "cuDNN deterministic",
        "cuDNN benchmark",
        "CUBLAS_WORKSPACE_CONFIG",
    ),
}


def _golden_lines(one: dict[str, Any], style: Style, *, whole: bool) -> Iterator[str]:
    state = (
        style(amount(len(one["problems"]), "problem"), RED) if one["problems"] else style("nothing is missing", GREEN)
    )
    yield f"{one['case']}: {state}"
    yield from (f"  {line}" for line in (*(one["needs"] if whole else ()), *one["notes"]))
