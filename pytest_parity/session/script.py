"""Script: a plan put into practice where the script runs: the case opened for a rank, its model watched, its end."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from pytest_parity.errors import GoldenError, ParityError, ParityFailure, UsageError
from pytest_parity.golden.cases import MANIFEST
from pytest_parity.golden.volatile import Volatile
from pytest_parity.names.file import read_names
from pytest_parity.report import moved_lines, note_lines, recorded_line, summary_line
from pytest_parity.result import Comparison, Fault, Recorded
from pytest_parity.session.driven import Driven
from pytest_parity.session.plan import Outcome, Plan
from pytest_parity.session.ranks import alike
from pytest_parity.session.redraw import drawn_again
from pytest_parity.session.rerecording import lacks_reason
from pytest_parity.session.run import Watching
from pytest_parity.settings import Batches, MarkerOptions, Settings
from pytest_parity.site import Kind

__all__ = ["ASIDE", "DRIVERS", "concluded", "driven_by", "for_rank", "open_case", "watching"]

DRIVERS: set[str] = set()
"""Who has said that they drive a training in this process."""

ASIDE: list[Callable[[], None]] = []
"""Called when another says that it drives the training."""

_DRAWN = (
    "  random numbers were drawn in these steps (dropout, masks, noise) by the script itself, as the golden was recorded with "
    "--rng off: by another seed, or in another order, they differ, and what follows from them. To compare without that, "
    "record the golden with --rng keyed"
)


def driven_by(what: str) -> None:
    """Say who drives the script's training: no other then looks for it."""
    DRIVERS.add(what)
    for aside in ASIDE:
        aside()


def for_rank(plan: Plan, rank: int) -> Plan | None:
    """The plan of one rank of a distributed run; ``None`` where it has nothing to do.

    Rank 0 records, and with ``all_ranks`` each further rank a case of its own, ``CASE.rank1``; else those draw from
    streams as rank 0 does, where it has any, and keep nothing. Every rank checks:
    its own case where that was recorded, else what all ranks have alike: weights, gradients, optimizer, updates.
    ``None`` too where the golden has nothing of these.
    """
    if rank == 0:
        return plan
    own = replace(plan, case=f"{plan.case}.rank{rank}")
    if plan.recording and plan.all_ranks:
        return own
    if plan.recording:  # it draws as it will in a check: its gradients are in those of rank 0
        return None if plan.rng in {None, "off"} else replace(plan, silent=True, kinds=())
    return own if (Path(plan.root) / own.case / MANIFEST).is_file() else _alike(plan, rank)


def _alike(plan: Plan, rank: int) -> Plan | None:
    """The check of what all ranks have alike."""
    try:
        kinds, apart = alike(Path(plan.root), plan.case, plan.kinds)
    except GoldenError:
        return plan  # what is wrong with it is said when it is opened
    if not kinds and not plan.weights:
        return None
    out = str(Path(plan.out) / f"rank{rank}")
    batches = plan.batches if plan.batches is Batches.RECORDED else Batches.UNSEEN
    return replace(plan, kinds=kinds or (Kind.WEIGHT.value,), apart=apart, batches=batches, out=out)


def open_case(plan: Plan) -> Driven:
    """The case, open; raises as opening a golden does, and under CI for a golden replaced without a reason."""
    if plan.draw is not None:
        return drawn_again(_settings(plan), plan.draw, plan.unstable, Path(plan.outcomes))
    if plan.recording and not plan.silent:
        _check_reasoned(plan)
        _check_alone(plan)
    if plan.apart and plan.batches is Batches.RECORDED:
        raise UsageError(
            f"{plan.case} has the batches of rank 0 alone, so that no other rank can train on recorded ones: record it "
            "with all_ranks=True, or leave batches='recorded' out to have each rank's own"
        )
    return Driven(_settings(plan), plan.keeping, weights=plan.weights)


def watching(plan: Plan, model: torch.nn.Module, optimizers: tuple[torch.optim.Optimizer, ...]) -> Watching:
    """What of a model and its optimizers is observed."""
    kinds = None if plan.kinds is None else frozenset(map(Kind, plan.kinds))
    return Watching(
        model=model,
        optimizers=optimizers,
        kinds=kinds,
        names=_name_map(plan),
        valid=plan.valid,
        replay=plan.replay,
        coverage=plan.coverage,
        probes=plan.probe and plan.recording,
    )


def _settings(plan: Plan) -> Settings:
    rng = (plan.rng or "off") if plan.recording else None
    settings = Settings(
        mode=plan.mode,
        case=plan.case,
        root=Path(plan.root),
        out=Path(plan.out),
        seed=plan.seed,
        marker=MarkerOptions(rng=rng, rtol=plan.rtol, atol=plan.atol, ignore=plan.ignore, coverage=plan.coverage),
        batches=plan.batches,
        ignore=plan.apart,
        config=plan.config,
        reason=plan.reason,
        collect=True,
        detail=plan.detail,
        probe=plan.probe and plan.recording,
        memory_by="",
        volatile=Volatile() if plan.silent else None,
        dtype_by="",
    )
    return replace(settings, recorded_by=plan.recorded_by) if plan.command else settings


def _check_reasoned(plan: Plan) -> None:
    if lacks_reason(Path(plan.root), plan.case, plan.reason):
        raise UsageError(
            f"{plan.case} has a golden in {plan.root}, and under CI it is not recorded again without a reason, which "
            "goes into its history: --reason 'the loss is a mean now'; elsewhere: another directory"
        )


def _check_alone(plan: Plan) -> None:
    other = f"{plan.case}.rank1"
    if not plan.all_ranks and (Path(plan.root) / other / MANIFEST).is_file():
        raise UsageError(
            f"{plan.case} was recorded by every rank of a training, and one rank alone would leave {other} behind as it "
            f"was: record all of them (all_ranks=True, --all-ranks), or remove {Path(plan.root) / other} first"
        )


def _name_map(plan: Plan) -> Any:
    if not isinstance(plan.names, str):
        return plan.names
    module, _, attribute = plan.names.partition(":")
    if not attribute or plan.names.endswith(".toml"):
        return read_names(plan.names)
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"names {plan.names!r}: {error}; write a TOML file's path, or module:attribute with the module importable "
            "where the script runs"
        ) from error


def concluded(
    driven: Driven, *, rank: int = 0, notes: tuple[str, ...] = ()
) -> tuple[Outcome, Comparison | Recorded | ParityError]:
    """Conclude a case; with what it ended in. Nothing of ours is raised. ``notes`` are said at the end."""
    outcome, result = _concluded(driven, rank)
    return replace(outcome, lines=(*outcome.lines, *(f"  {note}" for note in notes))), result


def _concluded(driven: Driven, rank: int) -> tuple[Outcome, Comparison | Recorded | ParityError]:
    case = driven.settings.case
    if driven.settings.volatile is not None:
        driven.abandon()
        return Outcome("silent", (), case, rank), Recorded(case, (), 0, 0, "")
    try:
        result = driven.finish()
    except ParityFailure as failure:
        driven.abandon()
        comparison = failure.comparison
        closing = () if comparison is None else (summary_line(comparison),)
        fault = comparison.diagnosis.fault if comparison and comparison.diagnosis else None
        if driven.drew and fault is not Fault.UPDATE:
            closing = (*closing, _DRAWN)
        plain = None if comparison is None else comparison.to_plain()
        return Outcome("failed", (*str(failure).splitlines(), "", *closing), case, rank, comparison=plain), failure
    except ParityError as error:
        driven.abandon()
        return Outcome("error", tuple(str(error).splitlines()), case, rank), error
    if isinstance(result, Comparison):
        lines = (summary_line(result), *note_lines(result))
        return Outcome("passed", lines, case, rank, comparison=result.to_plain()), result
    lines = (recorded_line(result), *note_lines(result), *moved_lines(result.moved))
    return Outcome("recorded", lines, case, rank, recorded=asdict(result)), result
