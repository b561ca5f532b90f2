"""A script under observation: its own output, exit status and signals are as without us; what came of it is said at its end."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from pytest_parity.cli.common import add_behind, add_json, default_root, write_json
from pytest_parity.cli.outside import INJECTED, OPTIMIZER, PYTHON
from pytest_parity.cli.terminal import BOLD, GREEN, RED, Style, progress
from pytest_parity.errors import UsageError

if TYPE_CHECKING:
    from pytest_parity.session.driven import Keeping
    from pytest_parity.session.script import Outcome, Plan

__all__ = ["absolute_names", "add_script_options", "comma_list", "keeping_of", "root_of", "run_script"]

_FORWARDED = ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGCONT")
_FROM_TERMINAL = ("SIGINT", "SIGQUIT")
"""A terminal sends these to the script too."""
_TROUBLE = 2


def add_script_options(parser: argparse.ArgumentParser) -> None:
    """What ``record`` and ``check`` have in common."""
    parser.add_argument("--case", required=True, metavar="CASE", help="the golden's name below the root, as nest/tiny")
    parser.add_argument(
        "--ref", type=Path, metavar="DIR", help="where the goldens are (default: environment PARITY_REF, then golden/)"
    )
    parser.add_argument("--steps", type=_steps, metavar="LIST", help="these steps, from 0: 0,1,2 or 0-4,10,20")
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
    add_json(parser)
    add_behind(parser, "COMMAND", "the training script, as it is run without parity: python train.py --epochs 1")


def _steps(text: str) -> tuple[int, ...]:
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()) or (dash and int(last) < int(first)):
            raise argparse.ArgumentTypeError(f"{text!r} is no list of steps; write 0,1,2 or 0-4,10")
        found += range(int(first), int(last or first) + 1)
    return tuple(found)


def _count(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of steps, which is at least 1")
    return int(text)


def comma_list(text: str) -> tuple[str, ...]:
    """``a,b`` as two words."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def keeping_of(args: argparse.Namespace) -> Keeping:
    """Which steps are asked for."""
    from pytest_parity.session.driven import Keeping  # noqa: PLC0415

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
    if not command:
        raise UsageError(
            f"there is no command; write it behind --, as in parity {args.command} --case NAME -- python train.py"
        )
    with tempfile.TemporaryDirectory(prefix="parity-") as told:
        status = _run(command, replace(plan, outcomes=told), Path(told))
        outcomes, missed = _outcomes(Path(told)), _missed(Path(told), command, status)
    if plan.recording and args.draws and not status and {one.kind for one in outcomes} == {"recorded"}:
        outcomes[0] = replace(outcomes[0], lines=(*outcomes[0].lines, f"  {_floors(args, plan, command)}"))
    style = Style.of(args.color, sys.stderr)
    ours = _say(outcomes, missed, style, recording=plan.recording)
    if args.json:
        write_json(
            {
                "script_status": status,
                "outcomes": [_plain(one) for one in outcomes],
                "error": missed if not outcomes else "",
            }
        )
    if getattr(args, "save", None) is not None:
        args.save.write_text(json.dumps([_plain(one) for one in outcomes], indent=2), encoding="utf-8")
    if status < 0:
        _die_of(-status)
    return status or ours


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
            said = next((one.lines[0] for one in _outcomes(told) if one.lines), "")
            return said or _missed(told, command, ended.returncode)

        place = partial(tempfile.TemporaryDirectory, prefix="parity-")
        return put_floors(plan, redrawing(again, place), args.draws)


def _environment(plan: Plan, told: Path) -> dict[str, str]:
    """What the script's processes find in their environment."""
    path = os.pathsep.join([str(INJECTED), *filter(None, [os.environ.get("PYTHONPATH")])])
    given = {"PARITY_SCRIPT": plan.to_json(), "PARITY_OUTCOMES": str(told), "PYTHONPATH": path}
    return {**os.environ, **given}


def _run(command: Sequence[str], plan: Plan, told: Path) -> int:
    sys.stdout.flush()
    try:
        script = subprocess.Popen(command, env=_environment(plan, told))  # noqa: S603  what the user asks for
    except OSError as error:
        raise UsageError(f"{command[0]} cannot be run: {error.strerror or error}") from None
    with _passing_on(script):
        return script.wait()


@contextmanager
def _passing_on(script: subprocess.Popen[bytes]) -> Iterator[None]:
    """Signals are the script's; those of a terminal it gets by itself."""

    def pass_on(number: int, _frame: FrameType | None) -> None:
        script.send_signal(number)

    terminal = sys.stdin is not None and sys.stdin.isatty()
    chosen: dict[str, Any] = dict.fromkeys(_FORWARDED, pass_on)
    chosen |= dict.fromkeys(_FROM_TERMINAL, signal.SIG_IGN if terminal else pass_on)
    before = {
        number: signal.signal(number, handler)
        for name, handler in chosen.items()
        if (number := getattr(signal, name, None)) is not None
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _die_of(number: int) -> None:
    """End as the script ended, so that a shell sees the signal."""
    sys.stdout.flush()
    sys.stderr.flush()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _outcomes(told: Path) -> list[Outcome]:
    from pytest_parity.session.script import Outcome  # noqa: PLC0415

    read = (json.loads(path.read_text(encoding="utf-8")) for path in told.glob("outcome.*.json"))
    found = [Outcome(**{**one, "lines": tuple(one["lines"])}) for one in read]
    return sorted(found, key=lambda one: one.rank)


def _missed(told: Path, command: Sequence[str], status: int) -> str:
    """Why there is no outcome, as far as the script came."""
    how = f"it was ended by signal {-status}" if status < 0 else f"it ended with status {status}"
    missing = told / "not_installed"
    if missing.exists():
        return f"pytest-parity is not there for the script's Python: {missing.read_text(encoding='utf-8')}; install it there"
    if not (told / PYTHON).exists():
        return (
            f"no Python of {command[0]!r} has looked at us: nothing of it was Python, or it ran isolated (python -I, -E, -S), "
            "or without our PYTHONPATH"
        )
    if list(told.glob("claimed.*")):
        return f"the script was killed, or left by os._exit, before the last step that is kept was over: {how}"
    if (told / OPTIMIZER).exists():
        return f"the script made an optimizer and trained nothing: {how}"
    return f"the script made no torch.optim.Optimizer and fitted no Lightning trainer: {how}"


def _say(outcomes: Sequence[Outcome], missed: str, style: Style, *, recording: bool) -> int:
    """Say what came of it, on stderr: the output is the script's. Returns our exit status."""
    kinds = {outcome.kind for outcome in outcomes}
    lines = [line for outcome in outcomes for line in _of(outcome, style, several=len(outcomes) > 1)]
    if not outcomes:
        what = "recorded" if recording else "compared"
        lines = [style(f"nothing was {what}: {missed}", RED)]
    sys.stderr.write("".join(f"{line}\n" for line in [style("parity", BOLD), *lines]))
    if not outcomes or "error" in kinds:
        return _TROUBLE
    return 1 if "failed" in kinds else 0


def _of(outcome: Outcome, style: Style, *, several: bool) -> list[str]:
    lines = list(outcome.lines)
    if lines:
        lines[0] = style(lines[0], GREEN if outcome.kind in {"passed", "recorded"} else RED)
    return [f"rank {outcome.rank}:", *lines] if several else lines


def _plain(outcome: Outcome) -> dict[str, Any]:
    from dataclasses import asdict  # noqa: PLC0415

    return asdict(outcome)
