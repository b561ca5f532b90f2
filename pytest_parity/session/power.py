"""Power: a test's body run again and again as a check, each time with a fault in its candidate."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

import torch

from pytest_parity.capture import Capture, Streams
from pytest_parity.compare.region import match
from pytest_parity.diagnose.faults import Planted, put
from pytest_parity.diagnose.power import Plan, Survey, place_of, planned
from pytest_parity.diagnose.reach import gathered, smallest_scale
from pytest_parity.diagnose.within import Undo
from pytest_parity.errors import ParityFailure
from pytest_parity.golden.entry import NONE, Entry
from pytest_parity.golden.memory import tensor_digest
from pytest_parity.golden.reader import Golden
from pytest_parity.report.power import CAUGHT, ERROR, ESCAPED, NO_EFFECT, Power, Tried
from pytest_parity.report.words import listed
from pytest_parity.result import Comparison, Tolerance
from pytest_parity.session.checking import Checking
from pytest_parity.session.curves import DrawnCurves
from pytest_parity.session.run import NEEDS_OPTIMIZER, Watching
from pytest_parity.settings import Settings
from pytest_parity.site import Kind, Site

__all__ = ["Selftest", "Trial"]

_NAMED = 8
_Observed = tuple[int, Site, str]
"""A step, a site, and the digest of the candidate's tensor there."""


class Trial(Checking):
    """One check of the body. ``fault`` is put into the model once its hooks are on; no helper raises a failure.

    What is compared, and how closely, is what the test's own check has. Nothing is left in ``--parity-out``, and the
    golden stays open for the next trial.
    """

    def __init__(
        self, settings: Settings, streams: Streams, golden: Golden, fault: Callable[[torch.nn.Module], Undo]
    ) -> None:
        super().__init__(settings, streams, golden)
        self.trace: list[_Observed] = []
        """Every bit of every kind of what was observed, in order, also of kinds that are not compared."""
        self.scales: list[tuple[Site, Tolerance, float]] | None = None
        """Where it is a list: the smallest scale error that each site shows."""
        self._fault = fault
        self._undo: Undo | None = None
        self._calls: dict[Site | Kind, Tolerance] = {}
        self._compared: frozenset[Kind] = frozenset()

    _explains = False

    def _judging(self) -> DrawnCurves:
        return DrawnCurves(self, self.golden, keeps=False)

    @property
    def _leaves(self) -> bool:
        return False

    def make_capture(self, watching: Watching) -> Capture:
        """Have the fault put in when the watch begins: after the weights were loaded, behind the capture's own hooks."""
        capture, comparator = super().make_capture(watching), self.comparator
        comparator.configure(
            tolerances=comparator.decide.tolerances,
            kinds=self._compared | {Kind.OUTPUT, Kind.LOSS},
            names=self.names,
            unobservable=comparator.unobservable,
            replay=comparator.replay,
        )
        capture.attached = lambda: self._begin(watching.model)
        return capture

    def _kinds(self, watching: Watching) -> frozenset[Kind]:
        self._compared = super()._kinds(watching)
        return frozenset(Kind) if watching.optimizers else frozenset(Kind) - NEEDS_OPTIMIZER

    def _begin(self, model: torch.nn.Module) -> None:
        self._undo = self._fault(model)

    def take_out(self) -> None:
        """Take the fault out again."""
        if self._undo is not None:
            self._undo()
            self._undo = None

    def observe(self, site: Site, value: torch.Tensor | None, call: Tolerance | None = None) -> None:
        """Compare one observation, and remember its bits."""
        assert self.step is not None
        self.trace.append((self.step, site, "" if value is None else tensor_digest(value)))
        if call is not None:
            self._calls[site] = call
        super().observe(site, value, call)

    def judge(self, kinds: frozenset[Kind], call: Tolerance | None, where: str) -> None:
        """Judge without an end: what comes later in the body is to be seen too."""
        if call is not None:
            self._calls.update(dict.fromkeys(kinds, call))
            self.comparator.rejudge(kinds, call, where)
        self.comparator.fill(kinds)

    def end_value(self, site: Site) -> None:
        """Settle a value's missing leaves."""
        self.comparator.fill_value(site)

    def finish(self) -> Comparison:
        """What the check found; a failure is no error here."""
        try:
            found = super().finish()
        except ParityFailure as failure:
            found = failure.comparison or self.comparison()
        assert isinstance(found, Comparison)
        return found

    def _close_step(self) -> None:
        if self.scales is not None:
            self.scales += self._scales()
        super()._close_step()

    def _scales(self) -> Iterator[tuple[Site, Tolerance, float]]:
        seen = {site for step, site, _ in self.trace if step == self.step}
        for site in seen:
            entry = self.golden.entry(self.step or 0, site)
            if entry is None or entry.dtype == NONE or site.kind not in self.comparator.kinds:
                continue
            call = self._calls.get(site) or self._calls.get(site.kind)
            tolerance, floor = self.comparator.decide.what(entry, call)
            reference, slack = self._reference(entry)
            scale = smallest_scale(reference, tolerance, floor, slack)
            if scale is not None:
                yield site, tolerance, scale

    def _reference(self, entry: Entry) -> tuple[torch.Tensor, torch.Tensor | None]:
        """What a site is compared with, inside its valid region: of an update new minus start, and its rounding."""
        value = self.golden.tensor(entry)
        start = self.golden.entry(entry.step, Site(Kind.WEIGHT, entry.site.path))
        if entry.site.kind is Kind.UPDATED_WEIGHT and start is not None and value.is_floating_point():
            slack = value.abs().double() * torch.finfo(value.dtype).eps
            return value - self.golden.tensor(start), slack
        region = match(self.comparator.regions, entry.site, entry.shape)
        return (value if region is None else value[region.mask(value.shape)]), None

    def _conclude(self, *, failed: bool) -> None:  # noqa: ARG002
        self.comparator.close()


@dataclass
class Selftest:
    """The power test of one case. ``again`` runs the test's body with a run in its check's place.

    At most ``limit`` faults are tried. Two runs without a fault come first: they must pass, and give the same bits.
    """

    settings: Settings
    golden: Golden
    again: Callable[[Trial], None]
    limit: int | None = None
    _runs: int = 0
    _survey: Survey = field(default_factory=Survey)

    def run(self) -> Power:
        """Try the faults; what the test itself raises under one catches it."""
        first = self._trial(self._survey.put)
        first.scales = []
        reason = self._run(first)
        if reason:
            return Power(runs=self._runs, refused=reason)
        if self._survey.model is None:
            return Power(runs=self._runs, refused=_NO_MODEL, excused=True)
        second = self._trial(self._survey.put)
        reason = self._run(second) or _unlike(first, second)
        if reason:
            return Power(runs=self._runs, refused=reason)
        assert self._survey.model is not None
        model = self._survey.model
        replayed = frozenset(_replayed(first))
        plan = planned(model, self._survey.seen, limit=self.limit, without=replayed)
        tried = tuple(self._tried(fault, place_of(model, fault), first) for fault in plan.faults)
        return Power(
            tried=tried,
            reach=gathered(first.scales),
            runs=self._runs,
            left_out=len(plan.left_out),
            notes=tuple(_notes(first, plan, replayed)),
            refused="" if tried else "no module of the watched model is called, so no fault can be put in",
        )

    def _trial(self, fault: Callable[[torch.nn.Module], Undo]) -> Trial:
        recorded = self.golden.manifest["settings"]
        streams = Streams(self.settings.case, policy=recorded["rng"], seed=recorded["seed"])
        return Trial(replace(self.settings, detail=False), streams, self.golden, fault)

    def _run(self, trial: Trial) -> str:
        """A run without a fault; why it says nothing."""
        comparison, error = self._ended(trial)
        if error:
            return f"run again without a fault, the test raises {error}"
        if not comparison.passed:
            first = next((delta.site for delta in comparison.failures), "nothing is compared")
            return (
                f"run again without a fault, the test fails: {first}. Something of the first run is left to the next one: "
                "gradients that nobody clears, or what a fixture holds that cannot be copied"
            )
        return ""

    def _tried(self, fault: Planted, place: str, control: Trial) -> Tried:
        trial = self._trial(lambda model: put(model, fault))
        comparison, error = self._ended(trial)
        kinds = Counter(Site.parse(delta.site).kind.value for delta in comparison.failures)
        if error:
            kinds[ERROR] = 1
        passed = comparison.passed and not error
        end = CAUGHT if not passed else NO_EFFECT if trial.trace == control.trace else ESCAPED
        return Tried(fault.words, fault.path, place, end, dict(kinds), error)

    def _ended(self, trial: Trial) -> tuple[Comparison, str]:
        """Run the body: what was compared, and what it raised; the fault is out again."""
        self._runs += 1
        error = ""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a fault's own making: weights that lie elsewhere, sums of nothing
                self.again(trial)
                found = trial.finish()
        except Exception as raised:  # noqa: BLE001  it is the user's code, run with a fault in it
            error, found = f"{type(raised).__name__}: {raised}".partition("\n")[0], trial.comparison()
        finally:
            trial.take_out()
            trial.abandon()
        return found, error


_NO_MODEL = "no model is watched, so there is nothing to put a fault in: with parity.watch(model): ..."


def _unlike(first: Trial, second: Trial) -> str:
    """Where two runs without a fault are not the same bits."""
    if first.trace == second.trace:
        return ""
    pairs = zip(first.trace, second.trace, strict=False)
    step, site, _ = next((one for one, other in pairs if one != other), (first.trace + second.trace)[-1])
    return (
        f"two runs without a fault differ, first at {site} of step {step}, so what a fault changes cannot be told; "
        "seed what draws there"
    )


def _replayed(trial: Trial) -> Iterator[str]:
    """The modules whose recorded output takes the place of their own, by the candidate's names."""
    if trial.capture is not None and trial.watching is not None:
        patterns = (*trial.watching.replay, *trial.reference.unstable)
        for paths in trial.capture.modules.aliases.values():
            names = [(path, trial.names.path(path)) for path in paths]
            yield from (path for path, name in names if any(fnmatchcase(name, one) for one in patterns))


def _notes(trial: Trial, plan: Plan, replayed: frozenset[str]) -> Iterator[str]:
    compiled = trial.capture.modules.compiled if trial.capture is not None else ()
    said = {
        "no fault was put into compiled regions": sorted(compiled),
        "no fault was put into modules that are replayed": sorted(replayed),
        "no fault was put into modules that are never called": plan.unreachable,
    }
    for what, names in said.items():
        if names:
            yield f"{what}: {listed(names, _NAMED)}"
