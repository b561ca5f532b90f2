"""What a script's processes have left behind: their outcomes, and how far they came where there is none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pytest_parity.cli.outside import MISSING, OPTIMIZER, PYTHON
from pytest_parity.cli.outside.command import how_it_ended
from pytest_parity.session.plan import Outcome

__all__ = ["outcomes_of"]


def outcomes_of(told: Path, case: str, command: Sequence[str], status: int) -> list[Outcome]:
    """What came of the case, by rank: at least one outcome, an error that says why where nothing came of it."""
    found = {**_read(told, "idle"), **_read(told, "outcome")}
    for path in told.glob("claimed.*"):
        rank = int(path.suffix[1:])
        if rank not in found:
            reason = "the script was killed, or left by os._exit, before the last step that is kept was over"
            found[rank] = Outcome("error", (f"{case}: {reason}: {how_it_ended(status)}",), case, rank)
    for path in told.glob("further.*"):
        one = found.get(int(path.suffix[1:]))
        if one is not None:
            left = "  left alone: a further training of the script; one case is one training, the first"
            found[one.rank] = replace(one, lines=(*one.lines, left))
    if not found:
        found[0] = Outcome("error", (f"{case}: {_how_far(told, command)}: {how_it_ended(status)}",), case)
    return [found[rank] for rank in sorted(found) if found[rank].kind != "silent"]


def _read(told: Path, name: str) -> dict[int, Outcome]:
    read = (json.loads(path.read_text(encoding="utf-8")) for path in sorted(told.glob(f"{name}.*.json")))
    return {one["rank"]: Outcome(**{**one, "lines": tuple(one["lines"])}) for one in read}


def _how_far(told: Path, command: Sequence[str]) -> str:
    """Why nothing came of the case, as far as the script came."""
    missing = sorted(path.read_text(encoding="utf-8") for path in told.glob(f"{MISSING}.*"))
    if (told / OPTIMIZER).exists():
        return "the script made an optimizer and trained nothing"
    if missing:
        return f"pytest-parity cannot be imported by the script's Python, install it there ({'; '.join(missing)})"
    if (told / PYTHON).exists():
        return "the script made no torch.optim.Optimizer and fitted no Lightning trainer"
    return (
        f"nothing of {command[0]!r} was a Python that looks at PYTHONPATH, which is how a script is seen: an isolated one "
        "(python -I, -E, -S) does not, and none that was started with an environment of its own"
    )
