"""``parity consistency``: configuration, structure and training steps of two projects in one report."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_parity.cli.common import add_json, add_root, open_golden, say, write_json
from pytest_parity.cli.config import add_selection, compared_files, plain_config
from pytest_parity.cli.models import add_names, names_of
from pytest_parity.cli.structure import compared_models, plain_structure
from pytest_parity.cli.terminal import BOLD, GREEN, RED, YELLOW, Style, progress
from pytest_parity.errors import UsageError

if TYPE_CHECKING:
    from pytest_parity.cli.common import Subparsers
    from pytest_parity.report.consistency import Consistency, Evidence, Finding
    from pytest_parity.report.survey import Survey
    from pytest_parity.result import Comparison

__all__ = ["add_parser", "run"]

_PAIR = ("REF", "CAND")
_COLORS = (GREEN, RED, YELLOW)
"""By exit status."""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "consistency",
        help="one report: configuration, structure, forward, loss, gradients, update",
        description=(
            "Measure how far two projects agree, and write one report in which every mark was earned by a comparison. A "
            "section that nothing was measured of says so. Give at least one of --config, --structure, --recordings and "
            "--check."
        ),
        epilog="Example:\n"
        "  parity consistency --config ref.yaml own.yaml --structure nest/full my_model:build -o report.md\n"
        "  parity consistency --recordings nest/tiny runs/tiny --check check.json --names names.toml\n"
        "Exit status: 0 all that was measured is the same, 1 something differs, 2 trouble, or nothing was measured.",
    )
    parser.add_argument("--config", nargs=2, metavar=_PAIR, help="two configuration files, as for `parity config`")
    parser.add_argument("--structure", nargs=2, metavar=_PAIR, help="two models, as for `parity structure`")
    parser.add_argument("--recordings", nargs=2, metavar=_PAIR, help="two goldens, as for `parity compare`")
    parser.add_argument(
        "--check",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="what a check has found: the JSON that `parity check --save` and `parity compare --save` write; repeatable",
    )
    add_names(parser)
    add_selection(parser)
    parser.add_argument(
        "--rtol", type=float, metavar="X", help="of --recordings: |a-r| <= atol + rtol*|r|; both or neither"
    )
    parser.add_argument("--atol", type=float, metavar="X")
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", help="write Markdown (default: text on the terminal)")
    parser.add_argument("--title", metavar="TEXT", help="the Markdown's title (default: Consistency report)")
    parser.add_argument("--preface", type=Path, metavar="FILE", help="Markdown of your own, to stand below the title")
    add_root(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, and report."""
    from pytest_parity.report.consistency import findings, status_of  # noqa: PLC0415
    from pytest_parity.report.consistency_text import consistency_lines, verdict_words  # noqa: PLC0415

    if not (args.config or args.structure or args.recordings or args.check):
        raise UsageError("there is nothing to measure; give --config, --structure, --recordings or --check")
    if args.out is not None:
        _check_out(args.out)
    preface = _preface(args.preface)
    all_of = _measured(args)
    found = findings(all_of)
    status = status_of(found)
    style = Style.of(args.color, sys.stdout)
    if args.out is not None:
        _write(args, all_of, preface)
    if args.json:
        write_json(_plain(all_of, found, status))
    elif args.out is not None:
        say([style(f"{args.out}: {verdict_words(found)}", BOLD, _COLORS[status])])
    else:
        headline, *lines = consistency_lines(all_of)
        say([style(headline, BOLD, _COLORS[status]), *lines])
    return status


def _measured(args: argparse.Namespace) -> Consistency:
    from pytest_parity.report.consistency import Consistency, Evidence  # noqa: PLC0415

    if (args.only or args.ignore) and not args.config:
        raise UsageError("--only and --ignore are about --config, which was not given")
    evidence = [one for path in args.check for one in _checked(path)]
    config = compared_files(args.config[0], args.config[1], args) if args.config else None
    structure = compared_models(*args.structure, names=args.names, root=args.root) if args.structure else None
    if args.recordings:
        survey = _surveyed(args)
        evidence.append(Evidence(" and ".join(args.recordings), survey.comparison, survey))
    return Consistency(config, structure, tuple(evidence))


def _surveyed(args: argparse.Namespace) -> Survey:
    from pytest_parity.compare.tolerance import make  # noqa: PLC0415
    from pytest_parity.session.goldens import survey_goldens  # noqa: PLC0415

    tolerance = make(args.rtol, args.atol, "--rtol, --atol")
    one, other = args.recordings
    with open_golden(one, args.root) as reference, open_golden(other, args.root) as candidate:
        if os.path.realpath(reference.path) == os.path.realpath(candidate.path):
            raise UsageError(f"both are {reference.path}, which agrees with itself; give two recordings")
        tolerances = {} if tolerance is None else {"*": (args.rtol, args.atol)}
        with progress(args, f"comparing {reference.case}") as advance:
            names = names_of(args.names)
            return survey_goldens(reference, candidate, tolerances=tolerances, names=names, advance=advance)


def _checked(path: Path) -> list[Evidence]:
    """The comparisons in a JSON file, each with the case's name."""
    from pytest_parity.report.consistency import Evidence  # noqa: PLC0415

    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--check {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"--check {path} is not JSON: {error}") from error
    found = [_comparison(plain, path) for plain in _comparisons(content)]
    if not found:
        raise UsageError(
            f"--check {path} holds no comparison; `parity check --save` and `parity compare --save` write one"
        )
    return [Evidence(f"{one.case} ({path.name})", one) for one in found]


def _comparisons(content: Any) -> Iterator[Any]:
    """Wherever a table looks like a comparison: alone, in a list, below ``comparison`` or ``outcomes``."""
    if isinstance(content, list):
        for one in content:
            yield from _comparisons(one)
    elif isinstance(content, dict):
        if {"case", "expected", "compared", "deltas"} <= content.keys():
            yield content
        else:
            yield from _comparisons([content[key] for key in ("comparison", "outcomes") if key in content])


def _comparison(plain: dict[str, Any], path: Path) -> Comparison:
    from pytest_parity.result import Comparison  # noqa: PLC0415

    try:
        return Comparison.from_plain(
            {**plain, **{key: _numbers(plain[key]) for key in ("deltas", "closest", "character")}}
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"--check {path}: its comparison cannot be read ({type(error).__name__}: {error}); was it written by another "
            "version of pytest-parity?"
        ) from error


def _numbers(value: Any) -> Any:
    """NaN and infinities, for which JSON has strings only, as the numbers that they are."""
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return float(value) if value in ("nan", "inf", "-inf") else value


def _check_out(path: Path) -> None:
    """What a person wrote is never written over; what this command wrote is."""
    from pytest_parity.report.consistency_text import MARKER  # noqa: PLC0415

    if not path.absolute().parent.is_dir():
        raise UsageError(f"-o {path}: there is no directory {path.parent}")
    if path.exists():
        try:
            begins = path.read_text(encoding="utf-8").startswith(MARKER)
        except (OSError, UnicodeDecodeError):
            begins = False
        if not begins:
            raise UsageError(f"-o {path}: it is there already, and this command did not write it; give another name")


def _preface(path: Path | None) -> str:
    try:
        return "" if path is None else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--preface {path} cannot be read: {error}") from error


def _write(args: argparse.Namespace, all_of: Consistency, preface: str) -> None:
    """Write the report whole or not at all."""
    from pytest_parity.report.consistency_text import consistency_markdown  # noqa: PLC0415

    title = args.title or "Consistency report"
    text = consistency_markdown(all_of, title=title, preface=preface, command=_command(args))
    beside = args.out.with_name(f".{args.out.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(args.out)
    finally:
        beside.unlink(missing_ok=True)


def _command(args: argparse.Namespace) -> str:
    """The command line that made the report, as one would type it, an option a line."""
    options = [(name, getattr(args, name)) for name in ("config", "structure", "recordings")]
    repeated = {"check": args.check, "only": args.only, "ignore": args.ignore}
    options += [(name, [value]) for name, values in repeated.items() for value in values]
    single = ("names", "rtol", "atol", "root", "title", "preface", "out")
    options += [(name, [value]) for name in single if (value := getattr(args, name)) is not None]
    words = [shlex.join([f"--{name}", *map(str, values)]) for name, values in options if values]
    return " \\\n      ".join(["parity consistency", *words])


def _plain(all_of: Consistency, found: tuple[Finding, ...], status: int) -> dict[str, Any]:
    from dataclasses import asdict  # noqa: PLC0415

    return {
        "status": status,
        "findings": [asdict(one) for one in found],
        "config": all_of.config and plain_config(all_of.config),
        "structure": all_of.structure and plain_structure(all_of.structure),
        "evidence": [
            {"name": one.name, **(one.survey.to_plain() if one.survey else {"comparison": one.comparison.to_plain()})}
            for one in all_of.evidence
        ],
    }
