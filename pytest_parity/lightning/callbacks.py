"""The two callbacks as a script writes them, and as ``parity record|check -- SCRIPT`` hands them to its trainers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pytest_parity.compare.valid import Valid
from pytest_parity.errors import UsageError
from pytest_parity.lightning.fit import FitCallback
from pytest_parity.session.plan import Keeping, Plan
from pytest_parity.session.script import driven_by
from pytest_parity.settings import Batches, Mode

__all__ = ["ParityCheck", "ParityRecord", "handed"]


class ParityRecord(FitCallback):
    """Record a training as a golden: ``Trainer(callbacks=[ParityRecord("nest/tiny", "golden", steps=[0, 1, 2])])``.

    ``golden`` is the directory of goldens, ``case`` the path of this one below it. Kept are the steps of a list, every
    n-th, or the ``first`` n of this run; the first 3 where nothing is said. ``rng``: ``"off"`` leaves the script's bits
    as they are without the callback; ``"keyed"`` gives each module call a stream of its own, so that another
    implementation can draw alike, and seeds batch by batch with ``seed``. Rank 0 records; with ``all_ranks`` every
    further one does, as ``CASE.rank1``. Under CI a golden that exists is not replaced without a ``reason``.

    The golden is written when the last step that is kept is over; a training that raises before leaves the old one.
    Raises ``UsageError`` where a step of the list was not reached. ``recorded`` tells afterwards what was written. Each
    ``fit`` records the case anew.
    """

    def __init__(
        self,
        case: str,
        golden: str = "golden",
        *,
        steps: Iterable[int] | None = None,
        every: int | None = None,
        first: int | None = None,
        kinds: Iterable[str] | None = None,
        rng: str = "off",
        seed: int = 0,
        valid: Mapping[str, Valid] | None = None,
        replay: Iterable[str] = (),
        all_ranks: bool = False,
        reason: str = "",
    ) -> None:
        super().__init__(
            Plan(
                Mode.RECORD,
                case,
                str(golden),
                keeping=Keeping.of(steps, every=every, first=first),
                kinds=None if kinds is None else tuple(kinds),
                rng=rng,
                seed=seed,
                valid=dict(valid or {}),
                replay=tuple(replay),
                all_ranks=all_ranks,
                reason=reason,
            )
        )


class ParityCheck(FitCallback):
    """Check a training against a golden: ``Trainer(callbacks=[ParityCheck("nest/tiny", "golden", weights=True)])``.

    The script's own batches are compared first, and what differs from there on is said to be the data's;
    ``batches="recorded"`` trains on the golden's instead: its tensors and values in the script's own batch where both
    are built alike, the golden's own batch where the script's has no tensor. Without ``weights`` the initial weights are
    compared like everything else; with it the reference's are loaded, and each step that is checked starts from the
    reference's weights and optimizer state. Random streams are as the golden's run had them. ``names`` maps the
    candidate's names to the reference's. ``rtol`` and ``atol`` take the place of what the golden and the dtypes allow.
    ``steps``, ``every`` and ``first`` choose of the golden's steps; all of them where nothing is said.

    Every rank checks: rank 0 everything, another its own recording if there is one, else what all ranks have alike
    (parameters, their gradients where none are accumulated, optimizer state, updates). Training runs to its end; then
    ``ParityFailure`` is raised, on every rank, unless ``raises=False``. ``comparison`` tells afterwards what this
    process found. Nothing compared is a failure.
    """

    def __init__(
        self,
        case: str,
        golden: str = "golden",
        *,
        steps: Iterable[int] | None = None,
        every: int | None = None,
        first: int | None = None,
        weights: bool = False,
        batches: str = "own",
        names: Any = None,
        kinds: Iterable[str] | None = None,
        rtol: float | None = None,
        atol: float | None = None,
        ignore: Iterable[str] = (),
        coverage: float | None = None,
        valid: Mapping[str, Valid] | None = None,
        replay: Iterable[str] = (),
        out: str = ".parity",
        raises: bool = True,
    ) -> None:
        if batches not in {"own", "recorded"}:
            raise UsageError(f"ParityCheck(batches={batches!r}): 'own' or 'recorded'")
        super().__init__(
            Plan(
                Mode.CHECK,
                case,
                str(golden),
                out=str(out),
                keeping=Keeping.of(steps, every=every, first=first),
                weights=weights,
                batches=Batches(batches),
                names=names,
                kinds=None if kinds is None else tuple(kinds),
                rtol=rtol,
                atol=atol,
                ignore=tuple(ignore),
                coverage=coverage,
                valid=dict(valid or {}),
                replay=tuple(replay),
                raises=raises,
            )
        )


def handed() -> list[Any]:
    """The callback that this process was given a plan for."""
    plan = Plan.from_environment()
    if plan is None:
        return []
    driven_by("lightning")
    return [(ParityRecord if plan.recording else ParityCheck).of_plan(plan, handed=True)]
