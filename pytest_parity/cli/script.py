"""A script under observation: its own output, exit status and signals are as without us; what came of it is said at its end."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_parity.cli.common import add_behind, add_json, default_root, step_list, strict
from pytest_parity.cli.outside import INJECTED
from pytest_parity.cli.outside.command import die_of, run
from pytest_parity.cli.outside.told import outcomes_of
from pytest_parity.cli.reports import add_report, check_reports, manifest_of, write_reports
from pytest_parity.cli.terminal import BOLD, GREEN, RED, Style, progress
from pytest_parity.errors import UsageError

if TYPE_CHECKING:
    from pytest_parity.report.document import Told
    from pytest_parity.session.plan import Keeping, Outcome, Plan

__all__ = ["absolute_names", "add_script_options", "comma_list", "keeping_of", "root_of", "run_script"]

_TROUBLE = 2


def add_script_options(parser: argparse.ArgumentParser) -> None:
    """What ``record`` and ``check`` have in common."""
    parser.add_argument("--case", required=True, metavar="CASE", help="the golden's name below the root, as nest/tiny")
    parser.add_argument(
        "--ref", type=Path, metavar="DIR", help="where the goldens are (default: environment PARITY_REF, then golden/)"
    )
    parser.add_argument("--steps", type=step_list, metavar="LIST", help="these steps, from 0: 0,1,2 or 0-4,10,20")
    parser.add_argument("--first", type=_count, metavar="N", help="the first N steps that the script runs")
    parser.add_argument("--every", type=_count, metavar="N", help="every N-th step; with --first, of the first so many")
    parser.add_argument(
        "--kinds", type=comma_list, metavar="LIST", help="what is observed: weight,output,loss,gradient"
    )
    parser.add_argument(
        "--replay",
        action="append",
        default=[],
        metavar="PATTERN",
        help="modules whose recorded outputs stand in for theirs",
    )
    parser.add_argument(
        "--model",
        default="",
        metavar="MODULE:ATTR",
        help="where a script keeps its model, where it is not to be looked for",
    )
    parser.add_argument(
        "--save",
        type=Path,
        metavar="FILE",
        help="what came of it as JSON, which --json writes as the last line of stdout",
    )
    add_report(parser)
    add_json(parser)
    add_behind(parser, "COMMAND", "the training script, as it is run without parity: python train.py --epochs 1")


def _count(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of steps, which is at least 1")
    return int(text)


def comma_list(text: str) -> tuple[str, ...]:
    """``a,b`` as two words."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def keeping_of(args: argparse.Namespace) -> Keeping:
    """Which steps are asked for."""
    from pytest_parity.session.plan import Keeping  # noqa: PLC0415

    return Keeping.of(args.steps, every=args.every, first=args.first)


def root_of(args: argparse.Namespace) -> str:
    """Where the goldens are, wherever the script goes."""
    return str(default_root(args.ref).absolute())


def absolute_names(names: str | None) -> str | None:
    """A name map's file, wherever the script goes; ``module:attribute`` as it is."""
    return str(Path(names).absolute()) if names and (names.endswith(".toml") or Path(names).is_file()) else names


def run_script(args: argparse.Namespace, plan: Plan) -> int:
    """Run the command; returns its own exit status, or ours where it ended well and the case did not."""
    command = list(args.behind)
    if args.save is not None and not args.save.absolute().parent.is_dir():
        raise UsageError(f"--save {args.save}: there is no directory {args.save.parent}")
    check_reports(args.report, args.sink)
    if not command:
        raise UsageError(
            f"there is no command; write it behind --, as in parity {args.command} --case NAME -- python train.py"
        )
    from pytest_parity.golden.staging import swept  # noqa: PLC0415

    case = Path(plan.root, plan.case)
    detail = bool(args.report or args.sink)
    with tempfile.TemporaryDirectory(prefix="parity-") as told, swept(case) if plan.recording else nullcontext():
        status = run(command, _environment(replace(plan, outcomes=told, detail=detail), Path(told)))
        outcomes = outcomes_of(Path(told), plan.case, command, status)
    if plan.recording and args.draws and not status and {one.kind for one in outcomes} == {"recorded"}:
        outcomes[0] = replace(outcomes[0], lines=(*outcomes[0].lines, f"  {_floors(args, plan, command)}"))
    ours = _say(outcomes, Style.of(args.color, sys.stderr), recording=plan.recording)
    found = {"script_status": status, "status": ours, "outcomes": list(map(asdict, outcomes))}
    if args.json:  # behind what the script has written: one line, the last
        sys.stdout.write(json.dumps(strict(found), allow_nan=False) + "\n")
    if args.save is not None:
        args.save.write_text(json.dumps(strict(found), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    if detail:
        root = Path(plan.root)
        cases = [_told(outcome, root) for outcome in outcomes]
        write_reports(args.report, args.sink, cases, command=args.command, golden=root)
    if status < 0:
        die_of(-status)
    return status or ours


def _told(outcome: Outcome, root: Path) -> Told:
    """An outcome as a report tells it; an error is a failure there."""
    from pytest_parity.report.document import Told  # noqa: PLC0415
    from pytest_parity.result import Comparison, Recorded  # noqa: PLC0415

    return Told(
        case=outcome.case,
        outcome="failed" if outcome.kind == "error" else outcome.kind,
        text="\n".join(outcome.lines),
        comparison=Comparison.from_plain(outcome.comparison) if outcome.comparison else None,
        recorded=Recorded.from_plain(outcome.recorded) if outcome.recorded else None,
        manifest=manifest_of(root / outcome.case),
    )


def _floors(args: argparse.Namespace, plan: Plan, command: Sequence[str]) -> str:
    """Run the script again for the noise floor, silently, each time as far as its last step that is kept."""
    from pytest_parity.session.redraw import put_floors, redrawing  # noqa: PLC0415
    from pytest_parity.settings import Batches  # noqa: PLC0415

    with progress(args, f"noise floor of {plan.case}", args.draws + 1, "further run") as advance:

        def again(seed: str, replay: tuple[str, ...], told: Path) -> str:
            drawn = replace(plan, draw=seed, unstable=replay, batches=Batches.RECORDED, outcomes=str(told))
            silent = subprocess.DEVNULL
            ended = subprocess.run(  # noqa: S603  what the user asks for
                command, env=_environment(drawn, told), stdin=silent, stdout=silent, stderr=silent, check=False
            )
            advance(1)
            return outcomes_of(told, plan.case, command, ended.returncode)[0].lines[0]

        place = partial(tempfile.TemporaryDirectory, prefix="parity-")
        return put_floors(plan, redrawing(again, place), args.draws)


def _environment(plan: Plan, told: Path) -> dict[str, str]:
    """What the script's processes find in their environment."""
    path = os.pathsep.join([str(INJECTED), *filter(None, [os.environ.get("PYTHONPATH")])])
    given = {"PARITY_SCRIPT": plan.to_json(), "PARITY_OUTCOMES": str(told), "PYTHONPATH": path}
    return {**os.environ, **given}


def _say(outcomes: Sequence[Outcome], style: Style, *, recording: bool) -> int:
    """Say what came of it, on stderr: the output is the script's. Returns our exit status."""
    kinds = {outcome.kind for outcome in outcomes}
    lines = [line for outcome in outcomes for line in _of(outcome, style, several=len(outcomes) > 1)]
    if kinds == {"error"}:
        lines.insert(0, style(f"nothing was {'recorded' if recording else 'compared'}", RED))
    sys.stderr.write("".join(f"{line}\n" for line in [style("parity", BOLD), *lines]))
    if "error" in kinds:
        return _TROUBLE
    return 1 if "failed" in kinds else 0


def _of(outcome: Outcome, style: Style, *, several: bool) -> list[str]:
    lines = list(outcome.lines)
    if lines:
        lines[0] = style(lines[0], GREEN if outcome.kind in {"passed", "recorded"} else RED)
    return [f"rank {outcome.rank}:", *lines] if several else lines
