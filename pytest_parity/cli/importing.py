"""``parity import``: a golden of what an output saver has left."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_parity.cli.common import add_json, add_root, default_root, say, write_json
from pytest_parity.cli.terminal import progress
from pytest_parity.errors import UsageError
from pytest_parity.golden.cases import MANIFEST, check_case_name

if TYPE_CHECKING:
    from pytest_parity.cli.common import Subparsers

__all__ = ["add_parser", "run"]


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "import",
        help="make a golden of an output saver's files",
        description=(
            "Make a golden of the files of an output saver: step_<N>/batch.pt, forward_output.pt, loss.pt, "
            "parameter_gradients.pt, parameter_weights.pt, layer_outputs.pt. They are read as tensors alone "
            "(weights_only=True). Pickles (.pkl) are not read, since that runs the code in them; what was not read is named."
        ),
        epilog="Exit status: 0 imported, 2 trouble.\n\nExample:\n"
        "  parity import saved_nemo_outputs --case nest/nemo\n"
        "  parity import saved_nest_outputs --case nest/own\n"
        "  parity compare nest/nemo nest/own",
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="what holds step_0, step_1, ...")
    parser.add_argument("--case", required=True, metavar="NAME", help="the golden's name below --root")
    parser.add_argument(
        "--skip",
        action="append",
        default=[],
        metavar="FILE",
        help="leave this file out, as in --skip batch.pt; repeatable",
    )
    parser.add_argument("--replace", action="store_true", help="put it in the place of a golden that is there")
    add_root(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Import."""
    from pytest_parity.report.imported import imported_lines  # noqa: PLC0415
    from pytest_parity.session.imported import import_saved  # noqa: PLC0415

    root = default_root(args.root)
    check_case_name(args.case)
    if (root / args.case / MANIFEST).exists() and not args.replace:
        raise UsageError(
            f"{root / args.case} is there already; --replace puts this in its place, --case gives it another"
        )
    with progress(args, f"importing {args.directory}"):
        imported = import_saved(args.directory, root, args.case, skip=frozenset(args.skip))
    if args.json:
        write_json(asdict(imported))
    else:
        say(imported_lines(imported))
    return 0
