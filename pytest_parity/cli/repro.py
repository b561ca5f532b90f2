"""``parity repro``: the faulty module of a failing check, alone, as a directory with a script that needs only torch."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_parity.cli.common import add_json, default_root, say, write_json
from pytest_parity.cli.terminal import GREEN, YELLOW, Style
from pytest_parity.errors import UsageError

if TYPE_CHECKING:
    from pytest_parity.cli.common import Subparsers
    from pytest_parity.session.reproducing import Written

__all__ = ["add_parser", "run"]

DEFAULT_LEFT = Path(".parity")
_RAN = (0, 1)


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "repro",
        help="the faulty module of a failing check, as a script of its own",
        description="Write the module that a failing check blames, with the reference's inputs, its weights and the "
        "reference's outputs, and a script that needs only torch; then run it. "
        "Exit status: 0 it shows the difference, 1 it agrees when it is alone, 2 trouble.",
        epilog="Example:\n  parity repro nest/tiny --out repro\n  python repro/repro.py",
    )
    parser.add_argument("case", metavar="CASE", help="the case whose check failed")
    parser.add_argument("--out", type=Path, metavar="DIR", help="the directory to write (default: repro/CASE)")
    parser.add_argument(
        "--module", default="", metavar="NAME", help="another module than the one blamed; NAME#2: its call"
    )
    parser.add_argument(
        "--root",
        "--ref",
        type=Path,
        metavar="DIR",
        help="where the goldens are (default: environment PARITY_REF, then golden/)",
    )
    parser.add_argument("--left", type=Path, default=DEFAULT_LEFT, metavar="DIR", help="as pytest's --parity-out")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Write it, run it, and say what it said."""
    from pytest_parity.session.reproducing import reproduce  # noqa: PLC0415

    if args.left != DEFAULT_LEFT and not args.left.is_dir():
        raise UsageError(f"--left {args.left}: there is no such directory")
    out = args.out or Path("repro") / args.case
    written = reproduce(args.left, default_root(args.root), args.case, out, args.module)
    if args.json:
        write_json(
            {
                "case": args.case,
                "module": written.name,
                "directory": str(written.directory),
                "files": list(written.files),
                "remarks": list(written.remarks),
                "status": written.status,
                "said": written.said.splitlines(),
            }
        )
    else:
        say(_lines(args, written))
    return 1 - written.status if written.status in _RAN else 2


def _lines(args: argparse.Namespace, written: Written) -> Iterator[str]:
    style = Style.of(args.color, sys.stdout)
    yield f"{args.case}: {written.name}, written to {written.directory}: {', '.join(written.files)}"
    yield from (f"  {remark}" for remark in written.remarks)
    yield ""
    yield f"$ python {written.directory / 'repro.py'}"
    yield written.said
    if written.status == 0:
        where = "in what was left out, elsewhere" if written.incomplete else "elsewhere"
        yield style(
            f"alone, and fed the reference's inputs, it agrees: what differs is {where}, or was mended since", YELLOW
        )
    elif written.status == 1:
        yield style("it shows the difference", GREEN)
    else:
        yield style(f"it cannot be run (exit status {written.status})", YELLOW)
