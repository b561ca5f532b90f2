"""Script: what a training script, or a trainer, is to have recorded or checked, and what came of it.

A plan is made from a callback's arguments, or handed from ``parity record|check -- SCRIPT`` to the script's processes
in the environment; what came of it goes back as a file for each process.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from pytest_parity.compare.tolerance import make
from pytest_parity.compare.valid import Valid
from pytest_parity.errors import GoldenError, ParityError, ParityFailure, UsageError
from pytest_parity.golden.cases import MANIFEST, check_case_name
from pytest_parity.names.file import read_names
from pytest_parity.report import moved_lines, note_lines, recorded_line, summary_line
from pytest_parity.result import Comparison, Fault, Recorded
from pytest_parity.session.driven import Driven, Keeping
from pytest_parity.session.ranks import alike
from pytest_parity.session.redraw import drawn_again
from pytest_parity.session.run import Watching
from pytest_parity.settings import Batches, MarkerOptions, Mode, Settings, under_ci
from pytest_parity.site import Kind

__all__ = ["ASIDE", "DRIVERS", "ENVIRONMENT", "Outcome", "Plan"]

ENVIRONMENT = "PARITY_SCRIPT"
"""The environment variable in which a plan travels, as JSON."""

DRIVERS: set[str] = set()
"""Who has said that they drive a training in this process."""

_DRAWN = (
    "  random numbers were drawn in these steps (dropout, masks, noise) by the script itself, as the golden was recorded with "
    "--rng off: by another seed, or in another order, they differ, and what follows from them. To compare without that, "
    "record the golden with --rng keyed"
)

ASIDE: list[Callable[[], None]] = []
"""Called when another says that it drives the training."""


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
    reason: str = ""
    command: str = ""
    """What someone typed to run the script, for messages."""
    model: str = ""
    """Where a script keeps its model, ``module:attribute``; empty: it is found by the optimizer."""
    raises: bool = True
    """Whether a check that fails is raised in the script."""
    draw: str | None = None
    """Of a further run for the noise floor: what moves the draw, empty where nothing is moved."""
    unstable: tuple[str, ...] = ()
    """Modules that are replayed in such a run, since what they return flips."""
    outcomes: str = ""
    """The directory in which each process leaves its outcome."""

    def __post_init__(self) -> None:
        check_case_name(self.case)
        make(self.rtol, self.atol, "rtol and atol")

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

    def driven_by(self, what: str) -> None:
        """Say who drives the script's training: no other then looks for it."""
        DRIVERS.add(what)
        for aside in ASIDE:
            aside()

    def for_rank(self, rank: int) -> Plan | None:
        """The plan of one rank of a distributed run; ``None`` where it has nothing to do.

        Rank 0 records, and with ``all_ranks`` each further rank a case of its own, ``CASE.rank1``. Every rank checks:
        its own case where that was recorded, else what all ranks have alike: weights, gradients, optimizer, updates.
        ``None`` too where the golden has nothing of these.
        """
        if rank == 0:
            return self
        own = replace(self, case=f"{self.case}.rank{rank}")
        if self.recording:
            return own if self.all_ranks else None
        if (Path(self.root) / own.case / MANIFEST).is_file():
            return own
        try:
            kinds, apart = alike(Path(self.root), self.case, self.kinds)
        except GoldenError:
            return self  # what is wrong with it is said when it is opened
        if not kinds and not self.weights:
            return None
        out = str(Path(self.out) / f"rank{rank}")
        batches = self.batches if self.batches is Batches.RECORDED else Batches.UNSEEN
        return replace(self, kinds=kinds or (Kind.WEIGHT.value,), apart=apart, batches=batches, out=out)

    def driven(self) -> Driven:
        """The case, open; raises as opening a golden does, and under CI for a golden replaced without a reason."""
        if self.draw is not None:
            return drawn_again(self._settings(), self.draw, self.unstable, Path(self.outcomes))
        if self.recording:
            self._check_reasoned()
            self._check_alone()
        if self.apart and self.batches is Batches.RECORDED:
            raise UsageError(
                f"{self.case} has the batches of rank 0 alone, so that no other rank can train on recorded ones: record it "
                "with all_ranks=True, or leave batches='recorded' out to have each rank's own"
            )
        return Driven(self._settings(), self.keeping, weights=self.weights)

    def watching(self, model: torch.nn.Module, optimizers: tuple[torch.optim.Optimizer, ...]) -> Watching:
        """What of a model and its optimizers is observed."""
        kinds = None if self.kinds is None else frozenset(map(Kind, self.kinds))
        return Watching(
            model=model,
            optimizers=optimizers,
            kinds=kinds,
            names=self._name_map(),
            valid=self.valid,
            replay=self.replay,
            coverage=self.coverage,
        )

    def _settings(self) -> Settings:
        rng = (self.rng or "off") if self.recording else None
        settings = Settings(
            mode=self.mode,
            case=self.case,
            root=Path(self.root),
            out=Path(self.out),
            seed=self.seed,
            marker=MarkerOptions(rng=rng, rtol=self.rtol, atol=self.atol, ignore=self.ignore, coverage=self.coverage),
            batches=self.batches,
            ignore=self.apart,
            config=self.config,
            reason=self.reason,
            collect=True,
            memory_by="",
            dtype_by="",
        )
        return replace(settings, recorded_by=self.recorded_by) if self.command else settings

    def _check_reasoned(self) -> None:
        if under_ci() and not self.reason and (Path(self.root) / self.case / MANIFEST).is_file():
            raise UsageError(
                f"{self.case} has a golden in {self.root}, and under CI it is not recorded again without a reason, which "
                "goes into its history: --reason 'the loss is a mean now'; elsewhere: another directory"
            )

    def _check_alone(self) -> None:
        other = f"{self.case}.rank1"
        if not self.all_ranks and (Path(self.root) / other / MANIFEST).is_file():
            raise UsageError(
                f"{self.case} was recorded by every rank of a training, and one rank alone would leave {other} behind as it "
                f"was: record all of them (all_ranks=True, --all-ranks), or remove {Path(self.root) / other} first"
            )

    def _name_map(self) -> Any:
        if not isinstance(self.names, str):
            return self.names
        module, _, attribute = self.names.partition(":")
        if not attribute or self.names.endswith(".toml"):
            return read_names(self.names)
        try:
            return getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise UsageError(
                f"names {self.names!r}: {error}; write a TOML file's path, or module:attribute with the module importable "
                "where the script runs"
            ) from error


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one process made of its plan: ``passed``, ``failed``, ``recorded`` or ``error``, and what to say of it."""

    kind: str
    lines: tuple[str, ...]
    case: str = ""
    rank: int = 0
    comparison: dict[str, Any] | None = None
    recorded: dict[str, Any] | None = None

    @classmethod
    def of(
        cls, driven: Driven, *, rank: int = 0, notes: tuple[str, ...] = ()
    ) -> tuple[Outcome, Comparison | Recorded | ParityError]:
        """Conclude a case; with what it ended in. Nothing of ours is raised. ``notes`` are said at the end."""
        outcome, result = cls._of(driven, rank)
        return replace(outcome, lines=(*outcome.lines, *(f"  {note}" for note in notes))), result

    @classmethod
    def _of(cls, driven: Driven, rank: int) -> tuple[Outcome, Comparison | Recorded | ParityError]:
        case = driven.settings.case
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
            return cls("failed", (*str(failure).splitlines(), "", *closing), case, rank, comparison=plain), failure
        except ParityError as error:
            driven.abandon()
            return cls("error", tuple(str(error).splitlines()), case, rank), error
        if isinstance(result, Comparison):
            lines = (summary_line(result), *note_lines(result))
            return cls("passed", lines, case, rank, comparison=result.to_plain()), result
        lines = (recorded_line(result), *note_lines(result), *moved_lines(result.moved))
        return cls("recorded", lines, case, rank, recorded=asdict(result)), result

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
        unfinished.write_text(json.dumps(asdict(self)), encoding="utf-8")
        unfinished.replace(place / f"{'idle' if idle else 'outcome'}.{self.rank}.{os.getpid()}.json")
        if idle:
            plan.disclaim(self.rank)
