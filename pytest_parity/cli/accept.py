"""``parity accept``: what a failing check left becomes the golden's, once it has been looked at."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_parity.cli.common import add_json, add_root, default_root, say, write_json
from pytest_parity.cli.terminal import GREEN, RED, YELLOW, Style, progress
from pytest_parity.errors import GoldenError, UsageError
from pytest_parity.report.moved import moved_lines
from pytest_parity.report.words import amount
from pytest_parity.settings import under_ci

if TYPE_CHECKING:
    from pytest_parity.cli.common import Subparsers
    from pytest_parity.session.accepting import Acceptance

__all__ = ["add_parser", "run"]

DEFAULT_OUT = Path(".parity")


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "accept",
        help="make what a failing check left the golden's",
        description="Promote what a failing check left (pytest --parity-collect) into the golden, after showing what moves. "
        "Without --yes it asks, and where nobody can answer it changes nothing and exits with 1.",
        epilog="Example:\n  parity accept nest/tiny --yes --reason 'the loss is a mean now'",
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", help="these cases (default: all that checks have left)")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, metavar="DIR", help="as pytest's --parity-out")
    add_root(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why, for the golden's history")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Show and accept, case by case; one that cannot be does not keep the others."""
    reason = " ".join(args.reason.split())
    if args.yes and under_ci() and not reason:
        raise UsageError("under CI no golden is replaced without a reason: --reason 'the loss is a mean now'")
    cases = _cases(args.out, tuple(args.cases))
    found: dict[str, Any] = {}
    for case in cases:
        found[case] = _accept(args, case, reason)
    if args.json:
        write_json({"cases": found})
    elif not cases:
        say([f"nothing to accept: no failing check has left anything in {args.out}"])
    return max((one["status"] for one in found.values()), default=0)


def _cases(out: Path, named: tuple[str, ...]) -> tuple[str, ...]:
    from pytest_parity.session.accepting import left_cases  # noqa: PLC0415

    if out != DEFAULT_OUT and not out.is_dir():
        raise UsageError(f"--out {out}: there is no such directory")
    left = left_cases(out)
    unknown = [case for case in named if case not in left]
    if unknown:
        there = f"there is: {', '.join(left)}" if left else "there is nothing at all"
        raise UsageError(
            f"no failing check has left {unknown[0]} in {out}; {there}. "
            f"Check it to its end: pytest --parity-collect --parity-case '{unknown[0]}'"
        )
    return tuple(dict.fromkeys(named)) or left


def _accept(args: argparse.Namespace, case: str, reason: str) -> dict[str, Any]:
    from pytest_parity.session.accepting import Acceptance  # noqa: PLC0415

    try:
        with progress(args, f"reading {case}") as advance:
            acceptance = Acceptance(args.out, default_root(args.root), case, reason=reason, advance=advance)
        with acceptance:
            if not args.json:
                say(_lines(acceptance))
            accepted = args.yes or (not args.json and _asked())
            if accepted:
                acceptance.commit()
            if not args.json:
                say([f"{case}: {_said(accepted, Style.of(args.color, sys.stdout))}"])
            told = {"moved": asdict(acceptance.moved), "floors_dropped": acceptance.dropped, "error": ""}
            return {"status": 0 if accepted else 1, "accepted": accepted, **told}
    except (UsageError, GoldenError) as error:
        if not args.json:
            sys.stderr.write(f"{Style.of(args.color, sys.stderr)('parity accept:', RED)} {error}\n")
        return {"status": 2, "accepted": False, "error": str(error)}


def _said(accepted: bool, style: Style) -> str:
    if accepted:
        return style("accepted", GREEN)
    return f"{style('not accepted', YELLOW)}, nothing was changed; --yes accepts it"


def _lines(acceptance: Acceptance) -> Iterator[str]:
    yield f"{acceptance.case}: what the check left, in the golden's place"
    yield from moved_lines(acceptance.moved)
    if acceptance.dropped:
        sites = amount(acceptance.dropped, "site")
        yield (
            f"  the noise floors of {sites} go, since they were measured around the old values; the default tolerances "
            "hold there until the case is recorded again"
        )


def _asked() -> bool:
    """Whether someone said yes; where nobody can be asked, no."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    sys.stdout.write("accept? [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
