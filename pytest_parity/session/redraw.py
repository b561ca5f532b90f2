"""Redraw: a script's further runs for the noise floor. Each is a process of its own, over when its last step is.

One process runs the script moved by one unit in the last place, as a draw of a test is; what it found goes back as a
file, and the floors are put together where the command runs.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import astuple, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from pytest_parity.capture import Streams
from pytest_parity.compare.comparator import Comparator
from pytest_parity.compare.floor import Measured
from pytest_parity.errors import UsageError
from pytest_parity.golden.amend import amend_noise
from pytest_parity.golden.reader import Golden
from pytest_parity.session.drawing import Drawing
from pytest_parity.session.driven import Driven
from pytest_parity.session.noise import Draw, Noise, Rerun, problem_of, sides_of
from pytest_parity.session.plan import Keeping
from pytest_parity.session.reference import Reference
from pytest_parity.settings import Mode, Settings
from pytest_parity.site import Site

if TYPE_CHECKING:
    from pytest_parity.session.plan import Plan

__all__ = ["drawn_again", "put_floors", "redrawing"]

_FILE = "draw.json"


def drawn_again(settings: Settings, seed: str, replay: tuple[str, ...], told: Path) -> Driven:
    """In the script: a further run over the golden that it has just recorded; ``seed`` is empty where nothing is moved.

    Raises ``UsageError`` where several processes train together: one that ends leaves the others waiting.
    """
    if (
        torch.distributed.is_available()
        and torch.distributed.is_initialized()
        and torch.distributed.get_world_size() > 1
    ):
        raise UsageError("several processes train together, and one of them alone cannot be run again")
    golden = Golden.find(settings.root, settings.case)
    recorded = golden.manifest["settings"]
    reference, comparator = sides_of(golden, seed or None, settings.memory)
    streams = Streams(settings.case, policy=recorded["rng"], seed=recorded["seed"])
    drawing = Drawing(
        replace(settings, mode=Mode.RECORD),
        streams,
        golden,
        reference=reference,
        comparator=comparator,
        start=None,
        moments={},
        replay=replay,
    )
    driven = Driven(replace(settings, mode=Mode.CHECK), Keeping(golden.steps), weights=True, run=drawing)
    driven.leaves = partial(_leave, drawing, comparator, reference, told)
    return driven


def _leave(drawing: Drawing, comparator: Comparator, reference: Reference, told: Path) -> None:
    """Write what was found, and end the process: what the script does behind its last step that is kept is nothing to us."""
    draw = Draw.of(problem_of(drawing, lambda _: None), comparator, reference, drawing)
    (told / _FILE).write_text(json.dumps(_plain(draw)), encoding="utf-8")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def redrawing(run: Callable[[str, tuple[str, ...], Path], str], place: Callable[[], Any]) -> Rerun:
    """Further runs in processes: ``run`` has the script run again, and gives the reason where it left nothing.

    ``place`` makes a directory, in a context, for what a run leaves.
    """

    def rerun(seed: str | None, replay: tuple[str, ...]) -> Draw:
        with place() as told:
            problem = run(seed or "", replay, Path(told))
            found = Path(told) / _FILE
            return _from_plain(json.loads(found.read_text(encoding="utf-8"))) if found.exists() else Draw(problem)

    return rerun


def put_floors(plan: Plan, rerun: Rerun, draws: int) -> str:
    """Measure the floors of a golden that was recorded, and put them into it; returns what there is to say."""
    with Golden.find(Path(plan.root), plan.case) as golden:
        noise = Noise(golden, rerun, draws, plan.seed, what="script")
        noise.measure()
        if noise.floors is not None:
            amend_noise(golden, noise.floors)
    return noise.note


def _plain(draw: Draw) -> dict[str, Any]:
    return {
        "problem": draw.problem,
        "sites": [[*key, str(one.site), *astuple(one)[1:]] for key, one in draw.sites.items()],
        "own": [[*key, str(one.site), *astuple(one)[1:]] for key, one in draw.own.items()],
        "flipped": [str(site) for site in draw.flipped],
        "moves": draw.moves,
    }


def _from_plain(plain: dict[str, Any]) -> Draw:
    sites, own = (
        {(step, order): Measured(Site.parse(site), *rest) for step, order, site, *rest in plain[name]}
        for name in ("sites", "own")
    )
    return Draw(plain["problem"], sites, own, tuple(map(Site.parse, plain["flipped"])), plain["moves"])
