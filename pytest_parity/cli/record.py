"""``parity record -- SCRIPT``: record a training script as a golden, without a change to it."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING

from pytest_parity.cli.script import add_script_options, keeping_of, root_of, run_script

if TYPE_CHECKING:
    from pytest_parity.cli.common import Subparsers

__all__ = ["add_parser", "run"]


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "record",
        help="record a training script, unchanged, as a golden",
        description=(
            "Run a training script, and record steps of its training as a golden. Lightning scripts are seen through the "
            "trainer's callbacks, others through their first torch optimizer and the model that holds its parameters. The "
            "script's output, exit status and signals are its own; what was recorded is said on stderr at its end."
        ),
        epilog=(
            "Example:\n"
            "  parity record --case nest/tiny --steps 0,1,2 -- python train.py trainer.max_epochs=1\n\n"
            "Without --steps, --first and --every the first 3 steps are kept. --rng off (default) leaves the script's bits as "
            "they are without parity; --rng keyed gives each module call a random stream of its own, and seeds batch by batch, "
            "so that another implementation can be checked that draws in another order.\n"
            "Exit status: the script's own; where that is 0, 2 if nothing could be recorded."
        ),
    )
    add_script_options(parser)
    parser.add_argument(
        "--rng", choices=("off", "keyed", "global"), default="off", help="who draws (default: off, the script)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of --rng keyed and global (default: 0)")
    parser.add_argument(
        "--draws",
        type=int,
        default=0,
        metavar="N",
        help="measure the noise floor: the script is run N + 1 more times, silently, as far as the last step kept (default: 0)",
    )
    parser.add_argument(
        "--probe",
        action="store_true",
        help="also feed tiny, large, zero and extreme inputs to each module without children, once (docs/probes.md)",
    )
    parser.add_argument(
        "--all-ranks", action="store_true", help="every rank records, the further ones as CASE.rank1; else rank 0 alone"
    )
    parser.add_argument(
        "--reason",
        default="",
        metavar="TEXT",
        help="why a golden that is there is replaced; for its history, asked for under CI",
    )


def run(args: argparse.Namespace) -> int:
    """Record."""
    from pytest_parity.session.plan import Plan  # noqa: PLC0415
    from pytest_parity.settings import Mode  # noqa: PLC0415

    plan = Plan(
        Mode.RECORD,
        args.case,
        root_of(args),
        keeping=keeping_of(args),
        rng=args.rng,
        seed=args.seed,
        kinds=args.kinds,
        replay=tuple(args.replay),
        all_ranks=args.all_ranks,
        probe=args.probe,
        reason=args.reason,
        model=args.model,
        command=shlex.join(args.behind),
    )
    return run_script(args, plan)
