"""Account: what a check amounts to so far: its comparison, the first divergence, what was not as in the golden's run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch

from pytest_parity.capture import Streams
from pytest_parity.compare.comparator import Comparator
from pytest_parity.compare.coverage import Ignore
from pytest_parity.compare.tolerance import Table, Tolerances
from pytest_parity.contract.environment import differences
from pytest_parity.contract.structure import Structure
from pytest_parity.diagnose import characterise, first_divergence
from pytest_parity.golden.reader import Golden
from pytest_parity.names import BoundNames
from pytest_parity.report import nonfinite_lines
from pytest_parity.result import Appearance, Comparison, Delta, Diagnosis, Fault, Verdict
from pytest_parity.session.causes import Causes
from pytest_parity.session.counterpart import Counterpart
from pytest_parity.session.curves import Curves, JudgedCurves
from pytest_parity.session.drawn import Drawn
from pytest_parity.session.hints import Hints
from pytest_parity.session.leftovers import Leftovers
from pytest_parity.session.nonfinite import of_candidate, of_golden
from pytest_parity.session.probing import CheckedProbes
from pytest_parity.session.reference import Reference
from pytest_parity.session.regions import Declared
from pytest_parity.session.run import Run
from pytest_parity.session.surroundings import set_differently
from pytest_parity.session.updates import Updates
from pytest_parity.settings import Batches, Settings
from pytest_parity.site import Kind

__all__ = ["Account"]


class Account(Run):
    """A run beside a golden, and what is known of how they compare."""

    def __init__(
        self,
        settings: Settings,
        streams: Streams,
        golden: Golden,
        *,
        reference: Reference | None = None,
        comparator: Comparator | None = None,
    ) -> None:
        super().__init__(settings, streams)
        self.golden = golden
        self.reference = reference or Reference(golden)
        allow_dtype = settings.allow_dtype if settings.marker.allow_dtype is None else settings.marker.allow_dtype
        self.counterpart = Counterpart(self.reference, allow_dtype=allow_dtype)
        digest = golden.manifest.get("digest", "")
        self._leftovers = Leftovers(settings.out, settings.case, digest, collect=settings.collect)
        self.comparator = comparator or Comparator(
            golden,
            tolerances=Tolerances(self._levels({})),
            kinds=frozenset(Kind),
            memory=settings.memory,
            names=self.names,
            leave=self._leftovers.add if self._leaves else None,
            factor=settings.factor,
            allow_dtype=allow_dtype,
            ignore=Ignore(settings.marker.ignore, shared=settings.ignore),
            coverage=settings.coverage if settings.marker.coverage is None else settings.marker.coverage,
            batches=settings.batches is Batches.OWN,
            empty_fails=settings.volatile is None,
            memory_by=settings.memory_by,
            watched_by=settings.watched_by,
            measure=settings.detail,
            detail=settings.detail,
        )
        self.curves = self._judging()
        self._drawn = Drawn(golden)
        self._hints = Hints(golden, settings)
        self._updates = Updates(self.reference, self.comparator, streams)
        self._causes = Causes(golden, self.comparator, self._updates)
        self._probes: CheckedProbes | None = None
        self._nonfinite: Appearance | None = None
        """Where the candidate's first step that has other values that are not finite has the first of them."""
        self._failed = False
        """Whether a step that is over has failed."""
        self._drifts = False
        """Whether there are noise floors, and steps that do not start where theirs did."""
        self._device = torch.get_default_device()
        self._never: set[str] | None = None
        """Modules that no step has called."""
        self._own: Structure | None = None
        self._regions_declared = Declared()

    _explains = True
    """Whether causes are looked for: not where all that is wanted is whether something fails, and how far."""

    def _judging(self) -> Curves:
        """What becomes of the curves that the test asserts."""
        return JudgedCurves(self, self.golden)

    @property
    def _leaves(self) -> bool:
        """Whether what fails is left in ``--parity-out``."""
        return self.settings.volatile is None

    @property
    def _recorded_kinds(self) -> frozenset[Kind]:
        return frozenset(map(Kind, self.golden.manifest["settings"].get("kinds", ())))

    @property
    def explains_probes(self) -> bool:
        """Whether the cause of a probe that fails is looked for."""
        return self._explains

    @property
    def own_structure(self) -> Structure | None:
        """The candidate's."""
        return self._own

    @property
    def names(self) -> BoundNames:
        """The candidate's names in terms of the reference's."""
        return self.counterpart.names

    @property
    def device(self) -> torch.device:
        """Where the watched or loaded model's first tensor is; before either, torch's default device."""
        if self.capture is not None:
            self._device = next((tensor.device for tensor in self.capture.tensors.values()), self._device)
        return self._device

    def _levels(self, watch: Mapping[str, Any]) -> list[tuple[str, Table]]:
        marker = self.settings.marker
        levels: list[tuple[str, Table]] = [("watch(tolerances=...)", watch)]
        if marker.rtol is not None:
            levels.append(("marker", {"*": (marker.rtol, marker.atol)}))
        if marker.factor is not None:
            levels.append(("marker", {"*": {"factor": marker.factor}}))
        levels.append(("parity_tolerances", self.settings.tolerances))
        return levels

    def comparison(self) -> Comparison:
        """What is known so far, with the first divergence."""
        self._see_nonfinite()
        first = self.counterpart.failing or self.comparator.first_failing_step
        diagnosis = self._explained(self._hints.added_to(self._diagnose(first), first), first) if first else None
        diagnosis = self._probes.added_to(diagnosis) if self._probes is not None else diagnosis
        if diagnosis is not None and self._nonfinite is not None and diagnosis.step == self._nonfinite.step:
            diagnosis = replace(diagnosis, hints=(*diagnosis.hints, *nonfinite_lines(self._nonfinite)))
        return self._in_its_surroundings(
            replace(
                self.counterpart.added_to(self.comparator.comparison()),
                diagnosis=diagnosis,
                data=self._drawn.difference,
                notes=tuple(self._notes()),
                curves=self.curves.comparisons,
            ),
            first,
        )

    def _explained(self, diagnosis: Diagnosis | None, first: list[Delta]) -> Diagnosis | None:
        """A diagnosis with its causes, as far as they can be tested."""
        if diagnosis is None or not self._explains or self.counterpart.failing or not self.comparator.keeps:
            return diagnosis
        return replace(diagnosis, causes=self._causes.of(diagnosis, self._updates.place_of(first)))

    def _see_nonfinite(self) -> None:
        """Where a NaN or an infinity began that the golden has not, while the step's tensors are there."""
        if self._nonfinite is not None or not self._explains or self.comparator.step < 0:
            return
        if any(found.verdict is Verdict.NONFINITE for found in self.comparator.found.values()):
            steps_taken = [] if self.capture is None else self.capture.steps_taken
            self._nonfinite = of_candidate(self.comparator, self.golden, steps_taken)

    @cached_property
    def _begun(self) -> list[str]:
        """Where what is not finite in the golden either began in it."""
        step = int(next(iter(self.comparator.nonfinite)).rpartition(" ")[2])
        found = of_golden(self.golden, step)
        return [] if found is None else [f"in the reference, {line}" for line in nonfinite_lines(found)[:1]]

    def _explain_step(self) -> None:
        """Test the causes of the first step that fails, before its tensors are gone."""
        if self._failed or not self._explains or not self.comparator.fails(self.comparator.kinds):
            return
        self._failed = True
        self.comparator.fill(self.comparator.kinds)
        first = self.comparator.first_failing_step
        self._explained(self._diagnose(first), first)

    def _diagnose(self, first: list[Delta]) -> Diagnosis | None:
        step = first[0].step
        unseen = not self.counterpart.failing and step not in self.comparator.came_to
        if unseen and self.reference.info(step).get("batch") is not None:
            return Diagnosis(Fault.SKIPPED, first[0].site, step, f"step {step}", "", others=len(first) - 1)
        names = list(self.golden.manifest["settings"].get("optimizers", ()))
        place, own = self._updates.place_of(first), self._updates.classes
        return first_divergence(
            first,
            names=self.names,
            structure=self.reference.structure if self.golden.manifest["structure"] else None,
            optimizers=[*names[place : place + 1], *names[1:]],  # updates do not say whose they are
            own_optimizers=[*own[place : place + 1], *own[1:]],
            hyperparameters=self._updates.changes(first[0].step, place, names),
            groups=self._updates.groups(place),
        )

    def _in_its_surroundings(self, found: Comparison, first: list[Delta]) -> Comparison:
        """A comparison with what was not as in the golden's run, and whether it looks as if that explained it."""
        recorded, diagnosis = self.golden.manifest["provenance"].get("environment"), found.diagnosis
        here = self.surroundings.read(self.device)
        environment = differences(recorded or {}, here)
        set_so = set_differently(
            self.golden,
            self.settings,
            own=self._own,
            names=self.names,
            optimizers=self._updates.differences(self.golden.manifest["settings"].get("optimizers", ())),
            diagnosis=diagnosis,
        )
        character = None
        if diagnosis is not None:
            character = characterise(
                first,
                diagnosis,
                names=self.names,
                dtypes=self._dtypes(diagnosis.step),
                environment=environment if recorded else None,
                explained=any(one.likely for one in set_so),
            )
        trace = found.trace and replace(found.trace, names=self._own_paths, environment=dict(here))
        return replace(found, environment=environment, differences=set_so, character=character, trace=trace)

    @property
    def _own_paths(self) -> dict[str, str]:
        """The reference's modules that the candidate has under another path, to that."""
        paths = self.golden.manifest["structure"].get("modules", ())
        return {path: own for path in paths if (own := self.names.back(path)) != path}

    def _dtypes(self, step: int) -> dict[str, str]:
        entries = self.golden.entries(step) if step in self.golden.steps else ()
        return {str(entry.site): entry.dtype for entry in entries}

    def _notes(self) -> Iterator[str]:
        yield from self.counterpart.notes()
        if self.settings.batches is Batches.OWN:
            yield from self._drawn.notes()
        if self._drifts:
            yield (
                "the dtypes' tolerances decide, not the noise floors: those are of steps that start from the reference's "
                "weights, and these go on from one another (--weights, weights=True)"
            )
        if self._leftovers.note:
            yield self._leftovers.note
        if self._regions_declared.others:
            yield "valid regions are the golden's, and the test declares others; to have its own, record it again"
        yield from self._updates.notes()
        yield from () if self._probes is None else self._probes.notes()
        yield from self.comparator.notes()
        yield from self._begun if self.comparator.nonfinite and self._leaves else ()
        steps = self.golden.manifest["steps"].values()
        if self.capture is not None and not any("gradient" in step.get("sizes", {"gradient": 0}) for step in steps):
            yield "no gradient was observed: backward did not run, or gradients were cleared before the step ended"
        if self.capture is None:
            return
        left_out = self._recorded_kinds - self.comparator.kinds - {Kind.BATCH}
        if left_out:
            yield f"kinds= leaves out what the golden has: {', '.join(kind.value for kind in Kind if kind in left_out)}"
        said = {
            "random draws outside of any leaf module, where only the order of drawing decides": (
                self.capture.modules.functional_draws
            ),
            "outputs in which no tensor can be seen": self.capture.modules.opaque,
            "modules that were never called": sorted(self._never or ()),
        }
        for what, names in said.items():
            if names:
                yield f"{what}: {', '.join(names)}"
