"""Isolating: a test's body run again with every module of the candidate alone, fed the reference's inputs and gradients.

What a call is handed is measured, and the golden's put in its place; what it returns likewise; and, where they were
recorded, the gradients of what it returns. So a module's error reaches no other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import torch

from pytest_parity.capture import Capture, Streams
from pytest_parity.compare.alone import Alone
from pytest_parity.compare.region import Region, match
from pytest_parity.contract.constants import constant_differences
from pytest_parity.diagnose.isolated import ISOLATED, Isolated, blamed
from pytest_parity.errors import ParityError
from pytest_parity.golden.entry import Entry
from pytest_parity.golden.reader import Golden
from pytest_parity.result import Comparison, Delta, Diagnosis, Fault, Isolation, Part, Tolerance, Verdict
from pytest_parity.session.checking import Checking
from pytest_parity.session.curves import DrawnCurves
from pytest_parity.session.explaining import Explaining
from pytest_parity.session.moving import MovedReference
from pytest_parity.session.reference import Reference
from pytest_parity.session.run import Watching
from pytest_parity.settings import Settings
from pytest_parity.site import Kind, Site

__all__ = ["ISOLATED", "Isolating", "Isolator", "with_isolation"]

DRAWS = 3
_NEARLY_ALL = 0.9
_FORWARD = frozenset({Kind.INPUT, Kind.ACTIVATION})
_BACKWARD = frozenset({Kind.ACTIVATION_GRADIENT, Kind.GRADIENT})
_KINDS = _FORWARD | _BACKWARD | {Kind.UPDATED_WEIGHT}

See = Callable[["Isolating", Entry, "torch.Tensor | None", "Region | None"], None]
"""Takes what a site is, alone: the run, the golden's entry, the candidate's value, the valid region."""


class Isolating(Checking):
    """One run of the body with every module alone. Nothing is judged, and nothing raises but the body itself.

    ``only`` is the step that a loop is asked for; the others are left out.
    """

    isolates = True
    _explains = False

    def __init__(
        self, settings: Settings, streams: Streams, golden: Golden, *, reference: Reference, see: See, only: int | None
    ) -> None:
        super().__init__(settings, streams, golden, reference=reference)
        self._see = see
        self._only = only
        self._patterns: tuple[str, ...] = ()
        self.calls: set[tuple[int, str, int]] = set()
        self.attached: set[tuple[int, int]] = set()
        """The sites, by step and order, at which the candidate's tensor carries a gradient."""
        self.seen: set[tuple[int, int]] = set()
        self.obstacle = ""
        """Why nothing could be isolated."""
        self._backward = self._closed = False

    def _judging(self) -> DrawnCurves:
        return DrawnCurves(self, self.golden, keeps=False)

    @property
    def complete(self) -> bool:
        """Whether everything asked for was run: what the body does behind that, an assertion of its own, says nothing."""
        return self._closed or (self.settled is not None and self.settled == self._steps()[-1])

    def close_single(self) -> None:
        """Without a loop that is at the watch's end, where backward has run by then."""
        super().close_single()
        self._closed = self._backward or self._recorded_kinds.isdisjoint(_BACKWARD)

    @property
    def _leaves(self) -> bool:
        return False

    def make_capture(self, watching: Watching) -> Capture:
        """Have the candidate start from the reference's weights, whatever the test does."""
        if Kind.WEIGHT in self._recorded_kinds:
            self.load(watching.model, watching.names)
        capture = super().make_capture(watching)
        if capture.modules.compiled:
            self.obstacle = "the model is compiled, and what is inside of it cannot be fed"
        self._patterns = (*watching.replay, *self.reference.unstable)
        return capture

    def _kinds(self, watching: Watching) -> frozenset[Kind]:
        return super()._kinds(watching) & _KINDS

    def _recorded_value(self, site: Site) -> torch.Tensor | None:
        value = super()._recorded_value(site)
        if value is None or not isinstance(self.reference, MovedReference):
            return value
        return self.reference.moved(value, f"{self.step}|{site}")

    def _steps(self) -> list[int]:
        steps = super()._steps()
        return [step for step in steps if self._only is None or step == self._only]

    def _restart(self, step: int) -> None:
        assert self.capture is not None
        self.capture.refresh()
        self.reference.restart(step, self.capture)

    def observe(self, site: Site, value: torch.Tensor | None, call: Tolerance | None = None) -> None:  # noqa: ARG002
        """Hand a site to who measures; what is replayed or ignored is not judged here either."""
        entry = self.comparator.entry(site)
        if entry is None or entry.step != self.step or (self._only is not None and entry.step != self._only):
            return
        self.seen.add((entry.step, entry.order))
        self._backward = self._backward or site.kind in _BACKWARD
        if site.kind in _FORWARD:
            self.calls.add((entry.step, site.path, site.call or 0))
            if value is not None and value.requires_grad:
                self.attached.add((entry.step, entry.order))
        if any(fnmatchcase(site.path, pattern) for pattern in self._patterns) and site.kind is Kind.ACTIVATION:
            return
        if self.comparator.ignore.pattern(site) is None:
            self._see(self, entry, value, match(self.comparator.regions, site, entry.shape))

    def constants(self, reference: str) -> dict[str, tuple[str, str]]:
        """What a module of the reference's name is set to otherwise: name to (the golden's, here)."""
        if self._own is None or not self.golden.manifest["structure"]:
            return {}
        found = constant_differences(self.reference.structure, self._own, self.names)
        return {one.name: (one.golden, one.here) for one in found if self.names.path(one.where) == reference}

    def judge(self, kinds: frozenset[Kind], call: Tolerance | None, where: str) -> None:
        """Nothing is judged."""

    def end_value(self, site: Site) -> None:
        """Nothing is judged."""

    def finish(self) -> Comparison:
        """Close the last step."""
        self.close_step()
        return self.comparator.comparison()

    def _conclude(self, *, failed: bool) -> None:  # noqa: ARG002
        self.comparator.close()


@dataclass
class Isolator:
    """The isolation of one case. ``again`` runs the test's body with a run in its check's place."""

    settings: Settings
    golden: Golden
    again: Callable[[Isolating], None]

    def run(self, step: int | None, observed: list[Delta]) -> Isolation:
        """Find what is faulty by itself in a step (``None``: in all); ``observed`` are the check's deltas of it."""
        at = self.golden.steps[0] if step is None else step
        if not {kind.value for kind in _FORWARD} <= set(self.golden.manifest["settings"].get("kinds", ())):
            return Isolation(at, refused="inputs and activations were not recorded")
        alone = Alone(self.golden, memory=self.settings.memory)
        first, problem = self._run(None, lambda _, entry, value, region: alone.see(entry, value, region), step)
        if problem or not first.calls:
            return Isolation(at, refused=problem or "no module of the watched model was called")
        for draw in range(DRAWS if alone.any else 0):
            _, problem = self._run(f"isolated|{draw}", lambda _, entry, value, region: alone.move(entry, value), step)  # noqa: ARG005
            if problem:
                return Isolation(at, refused=f"moved by one unit in the last place, {problem}")
        return self._told(alone, first, step, observed)

    def _told(self, alone: Alone, first: Isolating, step: int | None, observed: list[Delta]) -> Isolation:
        steps = self.golden.steps if step is None else [step]
        factors = [alone.without_common_factor(at) for at in steps]
        equal = self._equal(step, observed) if alone.any else frozenset()
        found = [one for one in alone.found() if (one.entry.step, one.entry.order) not in equal]
        isolated = {at: self._of(at, found, first) for at in steps}
        faulty = [one for at in steps for one in isolated[at].faulty()]
        if faulty:
            explaining = Explaining(self.golden, faulty, isolated, found)
            self._run(None, explaining.see, step)
            explained = explaining.explained()
            faulty = [
                kept for at in steps for kept in isolated[at].backward.own([one for one in explained if one.step == at])
            ]
        at = faulty[0].step if faulty and step is None else steps[0]
        return Isolation(
            at,
            len(first.calls),
            tuple(faulty),
            isolated[at].errors(observed),
            loop=not any(one.part is Part.GRADIENT and one.sure for one in faulty)
            and self._all_gradients(observed, factors),
        )

    @staticmethod
    def _all_gradients(observed: list[Delta], factors: list[float]) -> bool:
        """Whether the check's gradients of parameters have one factor in common, or nearly all of them fail."""
        own = [one for one in observed if one.site.startswith(f"{Kind.GRADIENT.value}/") and one.elements]
        return any(factor != 1.0 for factor in factors) or (
            bool(own) and sum(one.verdict.fails for one in own) >= _NEARLY_ALL * len(own)
        )

    def _equal(self, step: int | None, observed: list[Delta]) -> frozenset[tuple[int, int]]:
        """Where the candidate, as it is, gives the golden's bits: what is otherwise there alone is none of its own."""
        if observed:
            return frozenset((one.step, one.order) for one in observed if one.verdict is Verdict.EQUAL)
        plain = Alone(self.golden, memory=0)
        seen: set[tuple[int, int]] = set()

        def see(_: Isolating, entry: Entry, value: torch.Tensor | None, region: Region | None) -> None:
            seen.add((entry.step, entry.order))
            plain.see(entry, value, region)

        self._run(None, see, step, alone=False)
        return frozenset(seen - {(one.entry.step, one.entry.order) for one in plain.found()})

    def _of(self, step: int, found: list[Any], first: Isolating) -> Isolated:
        return Isolated(
            self.golden.entries(step),
            [one for one in found if one.entry.step == step],
            first.names,
            buffers=self.golden.manifest["structure"].get("buffers", ()),
            attached=frozenset(order for at, order in first.attached if at == step),
            seen=frozenset(order for at, order in first.seen if at == step) | self._excepted(step, first),
        )

    def _excepted(self, step: int, first: Isolating) -> frozenset[int]:
        """The sites that the test ignores: nothing is missed there."""
        ignore = first.comparator.ignore
        return frozenset(one.order for one in self.golden.entries(step) if ignore.pattern(one.site) is not None)

    def _run(self, seed: str | None, see: See, step: int | None, *, alone: bool = True) -> tuple[Isolating, str]:
        """One run of the body; and what ended it, in words."""
        recorded = self.golden.manifest["settings"]
        streams = Streams(self.settings.case, policy=recorded["rng"], seed=recorded["seed"])
        reference = Reference(self.golden) if seed is None else MovedReference(self.golden, seed)
        run = Isolating(self.settings, streams, self.golden, reference=reference, see=see, only=step)
        run.isolates = alone
        try:
            self.again(run)
            run.finish()
        except ParityError as error:
            return run, str(error).partition("\n")[0]
        except Exception as error:  # noqa: BLE001  it is the user's code, run in a way that it was not made for
            if not run.complete:
                return run, f"run again, the test raises {type(error).__name__}: {error}".partition("\n")[0]
        finally:
            run.abandon()
        return run, run.obstacle


def with_isolation(comparison: Comparison, isolation: Isolation) -> Comparison:
    """A comparison with what isolation found, its diagnosis by that; one that passed fails where a module surely differs.

    What is a few floors off, as correct code may be, is told only where something fails and nothing is further off.
    """
    sure = tuple(one for one in isolation.faulty if one.sure)
    if sure or comparison.passed:
        isolation = replace(isolation, faulty=sure)
    diagnosis = comparison.diagnosis
    if diagnosis is None or not _another_call(comparison, diagnosis):
        diagnosis = blamed(diagnosis, isolation)
    return replace(comparison, isolation=isolation, diagnosis=diagnosis)


def _another_call(comparison: Comparison, diagnosis: Diagnosis) -> bool:
    """Whether what is first is a value that one side alone has: what a module adds of its own is no cause of that."""
    there = (one for one in comparison.failures if (one.site, one.step) == (diagnosis.site, diagnosis.step))
    alone = any(one.verdict in {Verdict.EXTRA, Verdict.MISSING} for one in there)
    return alone and diagnosis.fault in {Fault.MODULE, Fault.BETWEEN}
