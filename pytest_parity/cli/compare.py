"""``parity compare``: two recordings, kind by kind, and where they first diverge."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_parity.cli.common import add_json, add_root, open_golden, say, step_list, strict, write_json
from pytest_parity.cli.models import add_names, names_of
from pytest_parity.cli.reports import add_report, check_reports, write_reports
from pytest_parity.cli.terminal import BOLD, GREEN, RED, Style, progress
from pytest_parity.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_parity.cli.common import Subparsers
    from pytest_parity.golden.reader import Golden
    from pytest_parity.report.survey import Survey

__all__ = ["add_parser", "run"]

_WRITTEN_BY, _COMMAND = "written_by", "parity compare"


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "compare",
        help="two recordings, kind by kind, and where they first diverge",
        description=(
            "Compare two recordings that are there already; nothing is run. Each is a golden's directory, or a case "
            "below --root. Structure, outputs, loss, gradients, activations and weights are compared, and the first "
            "module that diverges is named. Without --rtol and --atol the reference's noise floors decide, and where it "
            "has none, the dtypes' default tolerances."
        ),
        epilog="Exit status: 0 they agree, 1 they do not, 2 trouble.\n\nExample:\n"
        "  parity compare golden/nest/tiny candidate/nest/tiny --step 0,1 --rtol 1e-5 --atol 1e-5\n"
        "  parity compare nest/tiny runs/tiny --kind gradient --site 'encoder.layers.3' --save comparison.json",
    )
    parser.add_argument("reference", metavar="REF", help="the reference's recording")
    parser.add_argument("candidate", metavar="CAND", help="the candidate's recording")
    parser.add_argument(
        "--step",
        "--steps",
        action="append",
        type=step_list,
        metavar="LIST",
        help="these steps alone: 0, or 0,1,2 or 0-4,10; repeatable",
    )
    parser.add_argument("--kind", action="append", metavar="KIND", help="this kind alone (gradient, ...); repeatable")
    parser.add_argument(
        "--site",
        action="append",
        metavar="GLOB",
        help="these sites alone: a path of the reference's and all below it (encoder.layers.3), or a site "
        "(gradient/*.bias); repeatable",
    )
    parser.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="GLOB",
        help="except these sites, which are counted; repeatable",
    )
    parser.add_argument("--rtol", type=float, metavar="X", help="|a-r| <= atol + rtol*|r|; both or neither")
    parser.add_argument("--atol", type=float, metavar="X")
    add_names(parser)
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the whole comparison as JSON")
    add_report(parser)
    add_root(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Compare."""
    from pytest_parity.compare.tolerance import make  # noqa: PLC0415

    tolerance = make(args.rtol, args.atol, "--rtol, --atol")
    if args.save is not None:
        _check_save(args.save)
    check_reports(args.report, args.sink)
    with open_golden(args.reference, args.root) as reference, open_golden(args.candidate, args.root) as candidate:
        if os.path.realpath(reference.path) == os.path.realpath(candidate.path):
            raise UsageError(f"both are {reference.path}, which agrees with itself; give two recordings")
        survey = _surveyed(args, reference, candidate, {} if tolerance is None else {"*": (args.rtol, args.atol)})
        manifest = reference.manifest
    if args.save is not None:
        _save(args.save, survey)
    if args.report or args.sink:
        _report(args, survey, manifest)
    if args.json:
        write_json(survey.to_plain())
    else:
        say(_lines(survey, Style.of(args.color, sys.stdout)))
    return 0 if survey.comparison.passed else 1


def _surveyed(args: argparse.Namespace, reference: Golden, candidate: Golden, tolerances: dict[str, Any]) -> Survey:
    from pytest_parity.session.goldens import survey_goldens  # noqa: PLC0415

    everything = not (args.step or args.kind or args.site)
    total = sum(record["size"] for record in candidate.manifest["files"].values()) if everything else 0
    with progress(args, f"comparing {reference.case}", total) as advance:
        return survey_goldens(
            reference,
            candidate,
            tolerances=tolerances,
            names=names_of(args.names),
            steps=None if args.step is None else [step for steps in args.step for step in steps],
            kinds=args.kind,
            sites=args.site,
            ignore=args.ignore,
            advance=advance,
            detail=bool(args.report or args.sink),
        )


def _report(args: argparse.Namespace, survey: Survey, manifest: dict[str, Any]) -> None:
    from pytest_parity.report import failure_text, summary_line  # noqa: PLC0415
    from pytest_parity.report.document import Told  # noqa: PLC0415

    comparison = survey.comparison
    told = Told(
        case=comparison.case,
        outcome="passed" if comparison.passed else "failed",
        text=summary_line(comparison) if comparison.passed else failure_text(comparison),
        comparison=comparison,
        manifest=manifest,
        losses=survey.losses,
    )
    places = {"golden": Path(survey.reference), "candidate": Path(survey.candidate)}
    write_reports(args.report, args.sink, [told], command="compare", **places)


def _lines(survey: Survey, style: Style) -> Iterable[str]:
    from pytest_parity.report.compared import compared_lines, conclusion  # noqa: PLC0415

    yield from compared_lines(survey)
    line, below = conclusion(survey.comparison)
    yield ""
    yield style(line, BOLD, GREEN if survey.comparison.passed else RED)
    yield from below


def _check_save(path: Path) -> None:
    """What a person wrote is never written over; what this command wrote is."""
    if not path.parent.is_dir():
        raise UsageError(f"--save {path}: there is no directory {path.parent}")
    if not path.exists():
        return
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict) or content.get(_WRITTEN_BY) != _COMMAND:
        raise UsageError(f"--save {path}: it is there already, and {_COMMAND} did not write it; give another name")


def _save(path: Path, survey: Survey) -> None:
    """Write it whole or not at all."""
    content = {_WRITTEN_BY: _COMMAND, **survey.to_plain()}
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(json.dumps(strict(content), indent=1, allow_nan=False) + "\n", encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
