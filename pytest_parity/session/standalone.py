"""Standalone: a training loop of one's own, recorded with ``with record(...)``, checked with ``with check(...)``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from pytest_parity.capture import POLICIES
from pytest_parity.compare.coverage import check_coverage, check_patterns
from pytest_parity.compare.tolerance import make
from pytest_parity.compare.valid import Valid
from pytest_parity.errors import ParityFailure, UsageError
from pytest_parity.golden.canonical import plain
from pytest_parity.golden.cases import check_case_name
from pytest_parity.golden.reader import Golden
from pytest_parity.result import Comparison
from pytest_parity.session.loop import Loop, Watched
from pytest_parity.session.rerecording import lacks_reason
from pytest_parity.settings import MarkerOptions, Mode, Settings

__all__ = ["check", "record"]

_MEMORY = 1 << 30
_DRAWS = 3


@contextmanager
def record(
    root: str | os.PathLike[str],
    case: str,
    model: torch.nn.Module,
    optimizer: Any = None,
    *,
    kinds: Iterable[str] | None = None,
    rng: str = "keyed",
    seed: int = 0,
    valid: Mapping[str, Valid] | None = None,
    replay: Iterable[str] = (),
    again: Callable[[Loop], object] | None = None,
    draws: int = _DRAWS,
    provenance: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    reason: str = "",
) -> Iterator[Loop]:
    """Record the reference's training steps as the golden of ``case`` below the directory ``root``.

    ::

        with record("golden", "nest/tiny", model, optimizer) as run:
            for batch in run.steps(loader, limit=3):
                ...  # one step of training

    ``optimizer`` is one or several. ``kinds``, ``rng``, ``valid`` and ``replay`` are those of ``parity.watch``; ``seed``
    is that of each step's random streams. The golden takes its place when the body has passed: an exception leaves one
    that is there untouched. ``run.recorded`` says what was written.

    ``again=train`` measures the noise floor, where the body is ``train(run)``: that is run once more as it was and
    ``draws`` times with everything moved by one unit in the last place, on the same model, which is then as the body
    has left it. Without it there is no floor. ``provenance`` and ``config`` are tables that the golden keeps: where it
    comes from; what the model was configured with, which a failing check lists where it is another.

    Replacing a golden takes a ``reason`` under CI, which goes into its history. Raises ``UsageError`` for a call that
    makes no sense, and where the model was never called.
    """
    _check_call("record", root, case, model)
    if rng not in POLICIES:
        raise UsageError(f"record(rng={rng!r}): it is one of {', '.join(POLICIES)}")
    if lacks_reason(Path(root), case, reason):
        raise UsageError(
            f"{case} has a golden in {root}, and under CI it is not recorded again without a reason, which goes into its "
            f"history: record({str(root)!r}, {case!r}, ..., reason='the loss is a mean now')"
        )
    if again is not None and draws < 1:
        raise UsageError(
            f"record(draws={draws}): the draws of a noise floor are 1 or more; without again= there is none"
        )
    marker = MarkerOptions(rng=rng, valid=valid, replay=_several("record", "replay", replay))
    settings = Settings(
        mode=Mode.RECORD,
        case=case,
        root=Path(root),
        out=Path(os.devnull),
        seed=seed,
        marker=marker,
        config=None if config is None else plain(config, "config"),
        draws=0 if again is None else draws,
        reason=reason,
        provenance=_provenance(provenance or {}),
    )
    loop = Loop(settings, Watched(model, optimizer, kinds))
    try:
        with loop.running():
            yield loop
        loop.conclude(again)
    finally:
        loop.put_away()


@contextmanager
def check(
    root: str | os.PathLike[str],
    case: str,
    model: torch.nn.Module,
    optimizer: Any = None,
    *,
    weights: bool = False,
    names: Any = None,
    kinds: Iterable[str] | None = None,
    valid: Mapping[str, Valid] | None = None,
    replay: Iterable[str] = (),
    ignore: Iterable[str] = (),
    coverage: float | None = None,
    tolerances: Mapping[str, Any] | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    factor: float | None = None,
    allow_dtype: bool = False,
    config: Mapping[str, Any] | None = None,
    out: str | os.PathLike[str] = ".parity",
    memory: int = _MEMORY,
    compared: Callable[[Comparison], object] | None = None,
    raises: bool = True,
) -> Iterator[Loop]:
    """Compare the candidate's training steps with the golden of ``case`` below the directory ``root``.

    ::

        with check("golden", "nest/tiny", model, optimizer, weights=True) as run:
            for batch in run.steps(loader):  # the golden's own batches
                ...  # one step of training
        print(run)

    ``weights=True`` begins with the reference's initial weights, each step of a loop then starts where the reference's
    did; without it the candidate's own are compared. ``names``, ``kinds``, ``valid``, ``replay``, ``ignore``,
    ``coverage`` and ``tolerances`` are those of ``parity.watch``; seed and ``rng`` are the golden's. ``rtol`` and
    ``atol``, or ``factor`` of the noise floor, hold everywhere but where ``tolerances`` or a helper's call says otherwise.

    At the end everything is judged, and ``run.comparison()`` has the result. ``compared`` is called with it, passed or
    failed, and may raise: one's own logic belongs there. A failure raises ``ParityFailure``, with what differs first in
    its first line; ``raises=False`` leaves it in ``run.failure``. What fails is left below ``out``. Raised in any case:
    a structure or weights that do not fit, at the beginning, where the body cannot run; ``GoldenNotFound``; and
    ``UsageError`` for a call that makes no sense, and where the model was never called. ``memory`` is a budget in bytes
    for what is kept of a step, beyond which call-site tolerances are refused.
    """
    _check_call("check", root, case, model)
    make(rtol, atol, "check", factor)
    with Golden.find(Path(root), case, record=_recorded_by(root, case)) as golden:
        recorded = golden.manifest["settings"]
    marker = MarkerOptions(
        names=names,
        rtol=rtol,
        atol=atol,
        factor=factor,
        valid=valid,
        rng=recorded["rng"],
        replay=_several("check", "replay", replay),
        ignore=check_patterns(ignore, "check") if ignore else (),
        coverage=None if coverage is None else check_coverage(coverage, "check"),
        allow_dtype=allow_dtype,
    )
    settings = Settings(
        mode=Mode.CHECK,
        case=case,
        root=Path(root),
        out=Path(out),
        memory=memory,
        seed=recorded["seed"],
        marker=marker,
        config=None if config is None else plain(config, "config"),
        collect=True,
        recorded_by=_recorded_by(root, case),
        memory_by="memory= of check(...)",
        watched_by="check",
        dtype_by="check(..., allow_dtype=True)",
    )
    loop = Loop(settings, Watched(model, optimizer, kinds, tolerances, weights))
    ran = False
    try:
        with loop.running():
            yield loop
        ran = True
        loop.conclude()
    except ParityFailure as failure:
        loop.fail(failure)
        _tell(compared, loop)
        if raises or not ran:
            raise
    else:
        _tell(compared, loop)
    finally:
        loop.put_away()


def _tell(compared: Callable[[Comparison], object] | None, loop: Loop) -> None:
    comparison = loop.comparison()
    if compared is not None and comparison is not None:
        compared(comparison)


def _check_call(function: str, root: Any, case: Any, model: Any) -> None:
    usage = f"write: {function}('golden', 'nest/tiny', model, optimizer)"
    if not isinstance(root, (str, os.PathLike)):
        raise UsageError(f"{function}: the directory of goldens comes first, and it was given a {_type(root)}; {usage}")
    if not isinstance(case, str):
        raise UsageError(f"{function}: the second is the case's name, and it was given a {_type(case)}; {usage}")
    check_case_name(case)
    if not isinstance(model, torch.nn.Module):
        raise UsageError(f"{function}: the third is a torch.nn.Module, and it was given a {_type(model)}; {usage}")


def _type(value: Any) -> str:
    return type(value).__name__


def _several(function: str, name: str, values: Iterable[str]) -> tuple[str, ...]:
    if isinstance(values, str):
        raise UsageError(f"{function}({name}={values!r}): it is one string, and several are asked for: ({values!r},)")
    return tuple(values)


def _recorded_by(root: Any, case: str) -> str:
    return f"with record({str(root)!r}, {case!r}, model, optimizer) as run: ... around the reference's loop"


def _provenance(given: Mapping[str, Any]) -> Mapping[str, Any]:
    if "environment" in given:
        raise UsageError("record(provenance=...) has 'environment', which goldens have already; rename it")
    found: Mapping[str, Any] = plain(given, "provenance")
    return found
