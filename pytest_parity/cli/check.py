"""``parity check -- SCRIPT``: compare a training script, without a change to it, with a golden."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_parity.cli.script import (
    absolute_names,
    add_script_options,
    comma_list,
    keeping_of,
    root_of,
    run_script,
)
from pytest_parity.golden.cases import MANIFEST
from pytest_parity.golden.manifest import read_manifest

if TYPE_CHECKING:
    from pytest_parity.cli.common import Subparsers
    from pytest_parity.session.plan import Plan

__all__ = ["add_parser", "run"]


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "check",
        help="compare a training script, unchanged, with a golden",
        description=(
            "Run a training script, and compare steps of its training with a golden: first its batches, then everything of "
            "its model. Random streams are as the golden's run had them. The script's output, exit status and signals are its "
            "own; what was compared is said on stderr at its end."
        ),
        epilog=(
            "Example:\n"
            "  parity check --case nest/tiny --weights --names names.toml -- python train.py trainer.max_epochs=1\n\n"
            "Without --steps, --first and --every all steps of the golden are compared. Exit status: the script's own; where "
            "that is 0, 1 if something differs, 2 if nothing could be compared."
        ),
    )
    add_script_options(parser)
    parser.add_argument(
        "--weights",
        action="store_true",
        help="load the reference's weights, and start each step from the reference's; else the script's own are compared",
    )
    parser.add_argument(
        "--batches",
        choices=("own", "recorded"),
        default="own",
        help="compare the script's own (default), or train on the golden's, which a Lightning script can",
    )
    parser.add_argument("--names", metavar="FILE|MODULE:ATTR", help="name map, the script's names to the golden's")
    parser.add_argument("--rtol", type=float, metavar="X", help="with --atol, in place of what golden and dtypes allow")
    parser.add_argument("--atol", type=float, metavar="X")
    parser.add_argument(
        "--ignore", type=comma_list, default=(), metavar="LIST", help="patterns of sites that are not judged"
    )
    parser.add_argument(
        "--coverage", type=float, metavar="SHARE", help="of the golden's module calls, how many need a counterpart"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(".parity"),
        metavar="DIR",
        help="what a failing check leaves behind (default: .parity)",
    )


def run(args: argparse.Namespace) -> int:
    """Check."""
    from pytest_parity.session.plan import Plan  # noqa: PLC0415
    from pytest_parity.settings import Batches, Mode  # noqa: PLC0415

    plan = Plan(
        Mode.CHECK,
        args.case,
        root_of(args),
        out=str(args.out.absolute()),
        keeping=keeping_of(args),
        weights=args.weights,
        batches=Batches(args.batches),
        names=absolute_names(args.names),
        kinds=args.kinds,
        rtol=args.rtol,
        atol=args.atol,
        ignore=args.ignore,
        coverage=args.coverage,
        replay=tuple(args.replay),
        model=args.model,
        command=shlex.join(args.behind) or "COMMAND",
    )
    _look_ahead(plan)
    return run_script(args, plan)


def _look_ahead(plan: Plan) -> None:
    """Raise what opening the golden would, before the script takes its time; torch is left out where all is well."""
    path = Path(plan.root, plan.case)
    if (path / MANIFEST).is_file():
        steps = tuple(sorted(map(int, read_manifest(path)["steps"])))
        chosen = plan.keeping.of_golden(steps).steps
        if chosen and set(chosen) <= set(steps):
            return
    from pytest_parity.golden.reader import Golden  # noqa: PLC0415

    with Golden.find(Path(plan.root), plan.case, record=repr(plan.recorded_by)) as golden:
        golden.narrow(plan.keeping.of_golden(golden.steps).steps or ())
