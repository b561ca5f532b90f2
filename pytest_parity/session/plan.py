"""Plan: what a training script, or a trainer, is to have recorded or checked, and the outcome; both without torch.

A plan is made from a callback's arguments, or handed from ``parity record|check -- SCRIPT`` to the script's processes
in the environment; what came of it goes back as a file for each process.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_parity.compare.tolerance import make
from pytest_parity.errors import ParityError, UsageError
from pytest_parity.golden.cases import check_case_name
from pytest_parity.report.words import steps_words
from pytest_parity.settings import Batches, Mode
from pytest_parity.site import kind_named

if TYPE_CHECKING:
    from pytest_parity.compare.valid import Valid

__all__ = ["ENVIRONMENT", "Keeping", "Outcome", "Plan"]

ENVIRONMENT = "PARITY_SCRIPT"
"""The environment variable in which a plan travels, as JSON."""

_FIRST = 3


@dataclass(frozen=True, slots=True)
class Keeping:
    """Which steps are kept: those of a list, every n-th, or the first n that are run; the first 3 where nothing is said."""

    steps: tuple[int, ...] | None = None
    every: int | None = None
    first: int | None = None

    @classmethod
    def of(cls, steps: Iterable[int] | None = None, *, every: int | None = None, first: int | None = None) -> Keeping:
        """Raises ``UsageError`` for what selects nothing, and for a list beside one of the others."""
        if steps is not None and not isinstance(steps, Iterable):
            raise UsageError(f"steps={steps!r}: a list of step numbers, from 0; the first {steps} are first={steps}")
        chosen = None if steps is None else tuple(sorted(set(steps)))
        if chosen is not None and (every is not None or first is not None):
            raise UsageError(
                f"steps {list(chosen)} name every step; every and first go with each other, not with a list"
            )
        if chosen is not None and (not chosen or chosen[0] < 0):
            raise UsageError(f"steps {list(chosen)}: a list of step numbers, from 0")
        for name, number in (("every", every), ("first", first)):
            if number is not None and number < 1:
                raise UsageError(f"{name} {number}: at least 1")
        return cls(chosen, every, first)

    @property
    def bare(self) -> bool:
        """Whether nothing is said."""
        return self.steps is None and self.every is None and self.first is None

    def wants(self, step: int, place: int) -> bool:
        """Whether a step is kept; ``place`` counts the steps of this run."""
        if self.steps is not None:
            return step in self.steps
        return step % (self.every or 1) == 0 and place < self._limit

    def over(self, step: int, place: int) -> bool:
        """Whether nothing that comes after a step is kept."""
        return step >= self.steps[-1] if self.steps is not None else place + 1 >= self._limit

    def of_golden(self, steps: Sequence[int]) -> Keeping:
        """Of a golden's steps those that a check runs; all of them where nothing is said."""
        if self.steps is not None:
            return self
        chosen = [step for step in steps if step % (self.every or 1) == 0]
        if not chosen:
            kept = steps_words(steps) or "no step"
            raise UsageError(f"every {self.every or 1}: nothing would be compared, the golden keeps {kept}")
        return Keeping(tuple(chosen[: self.first]))

    @property
    def _limit(self) -> float:
        if self.first is not None:
            return self.first
        return _FIRST if self.bare else float("inf")


@dataclass(frozen=True, slots=True)
class Plan:
    """One case of a script, and how it is recorded or checked. All of it is plain, but for ``names`` and ``valid``."""

    mode: Mode
    case: str
    root: str
    out: str = ".parity"
    keeping: Keeping = field(default_factory=Keeping)
    rng: str | None = None
    seed: int = 0
    weights: bool = False
    batches: Batches = Batches.OWN
    names: Any = None
    """A name map, a TOML file of one, or where to import one from, ``module:attribute``."""
    kinds: tuple[str, ...] | None = None
    rtol: float | None = None
    atol: float | None = None
    ignore: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()
    """What of one rank is not compared on another."""
    replay: tuple[str, ...] = ()
    valid: Mapping[str, Valid] = field(default_factory=dict)
    config: Mapping[str, Any] | None = None
    """What the training is configured with, as far as whoever drives it knows."""
    coverage: float | None = None
    all_ranks: bool = False
    probe: bool = False
    """Whether each leaf module is also fed probes, when recording."""
    reason: str = ""
    command: str = ""
    """What someone typed to run the script, for messages."""
    model: str = ""
    """Where a script keeps its model, ``module:attribute``; empty: it is found by the optimizer."""
    raises: bool = True
    """Whether a check that fails is raised in the script."""
    detail: bool = False
    """Whether what a report shows is kept: every site of a step, and the elements of those that fail."""
    silent: bool = False
    """Whether it is recorded for its random streams alone: another rank's recording is kept."""
    draw: str | None = None
    """Of a further run for the noise floor: what moves the draw, empty where nothing is moved."""
    unstable: tuple[str, ...] = ()
    """Modules that are replayed in such a run, since what they return flips."""
    outcomes: str = ""
    """The directory in which each process leaves its outcome."""

    def __post_init__(self) -> None:
        check_case_name(self.case)
        make(self.rtol, self.atol, "rtol and atol")
        for kind in self.kinds or ():
            kind_named(kind)

    @property
    def recording(self) -> bool:
        """Whether it is recorded."""
        return self.mode is Mode.RECORD

    @property
    def recorded_by(self) -> str:
        """What someone types to record the case."""
        return f"parity record --case {self.case} -- {self.command}"

    # on the way to the script

    def to_json(self) -> str:
        """As the environment carries it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_environment(cls) -> Plan | None:
        """The plan that this process was given, if it was."""
        text = os.environ.get(ENVIRONMENT)
        if not text:
            return None
        plain = json.loads(text)
        steps = plain["keeping"]["steps"]
        return cls(
            **{
                **plain,
                "mode": Mode(plain["mode"]),
                "batches": Batches(plain["batches"]),
                "keeping": Keeping(**{**plain["keeping"], "steps": None if steps is None else tuple(steps)}),
                "kinds": None if plain["kinds"] is None else tuple(plain["kinds"]),
                "ignore": tuple(plain["ignore"]),
                "apart": tuple(plain["apart"]),
                "replay": tuple(plain["replay"]),
                "unstable": tuple(plain["unstable"]),
            }
        )

    # in the script

    def claim(self, rank: int) -> bool:
        """Whether this is the first training of that rank among all processes of the script; the others are left alone."""
        if not Path(self.outcomes).is_dir():  # the command has ended, and this process has outlived it
            return False
        try:
            (Path(self.outcomes) / f"claimed.{rank}").touch(exist_ok=False)
        except FileExistsError:
            (Path(self.outcomes) / f"further.{rank}").touch()
            return False
        return True

    def disclaim(self, rank: int) -> None:
        """Leave the training of that rank to others."""
        (Path(self.outcomes) / f"claimed.{rank}").unlink(missing_ok=True)

    def tell(self, what: str) -> None:
        """Leave word of how far this process came."""
        if Path(self.outcomes).is_dir():
            (Path(self.outcomes) / what).touch()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one process made of its plan: ``passed``, ``failed``, ``recorded``, ``error`` or ``silent``, and what to say of it."""

    kind: str
    lines: tuple[str, ...]
    case: str = ""
    rank: int = 0
    comparison: dict[str, Any] | None = None
    recorded: dict[str, Any] | None = None

    @classmethod
    def error(cls, error: ParityError, plan: Plan, rank: int = 0) -> Outcome:
        """An error of ours, in the place of a result."""
        return cls("error", tuple(str(error).splitlines()), plan.case, rank)

    def leave(self, plan: Plan, *, idle: bool = False) -> None:
        """Write it where the plan says; ``idle``: the process trained nothing, and another may yet."""
        place = Path(plan.outcomes)
        if not place.is_dir():  # the command has ended, and this process has outlived it
            return
        unfinished = place / f"unfinished.{self.rank}.{os.getpid()}"
        with suppress(OSError):  # where it cannot be told, the command says that nothing was
            unfinished.write_text(json.dumps(asdict(self)), encoding="utf-8")
            unfinished.replace(place / f"{'idle' if idle else 'outcome'}.{self.rank}.{os.getpid()}.json")
        if idle:
            plan.disclaim(self.rank)
