"""Two recordings side by side, one tensor of each in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

import torch

from pytest_parity.compare.comparator import Comparator
from pytest_parity.compare.coverage import Ignore
from pytest_parity.compare.tolerance import Tolerances
from pytest_parity.contract.common import common_parameters
from pytest_parity.contract.structure import Structure
from pytest_parity.diagnose import first_divergence
from pytest_parity.errors import UsageError
from pytest_parity.golden.reader import Golden
from pytest_parity.golden.selected import Selected
from pytest_parity.names import BoundNames, NameMap
from pytest_parity.report.survey import Survey
from pytest_parity.report.words import listed, steps_words
from pytest_parity.result import Comparison, Delta, Diagnosis, Fault, Trace, Verdict
from pytest_parity.session.banded import recorded
from pytest_parity.session.beside import beside
from pytest_parity.session.causes import Causes
from pytest_parity.session.chosen import Chosen, choose
from pytest_parity.session.counterpart import Counterpart
from pytest_parity.session.inventory import Inventory
from pytest_parity.session.reference import Reference
from pytest_parity.session.regions import recorded_regions
from pytest_parity.session.stepped import Stepped
from pytest_parity.session.translated import Observed, Starts, Translated
from pytest_parity.session.unstructured import is_imported, structures, unsaid
from pytest_parity.site import Kind, Site

__all__ = ["compare_goldens", "survey_goldens"]

_NOTHING = Structure({}, {}, {})
_SHOWN = 8
_NOT_CHOSEN = ("inputs were not recorded", "inputs were not compared")


def compare_goldens(
    reference: Golden,
    candidate: Golden,
    *,
    tolerances: Mapping[str, Any] | None = None,
    names: Any = None,
    steps: Iterable[int] | None = None,
    kinds: Iterable[str] | None = None,
    sites: Iterable[str] | None = None,
    ignore: Iterable[str] = (),
) -> Comparison:
    """Compare two recordings, one tensor of each in memory at a time, with the first divergence.

    ``tolerances`` are ``(rtol, atol)`` by kind or pattern of sites; valid regions are the reference's. Updates are
    judged as new minus start, each from its own start. Structures are compared too. ``names`` maps the candidate's names
    to the reference's, as in a test. ``steps``, ``kinds`` and ``sites`` (globs over the reference's paths, or over sites,
    where they have a ``/``) compare these alone, ``ignore`` excepts what such patterns mean. Raises ``GoldenError`` where
    one of them cannot be read, ``UsageError`` where what is asked for is not there.
    """
    chosen = choose(reference, candidate, steps=steps, kinds=kinds, sites=sites)
    pair = _Pair(reference, candidate, chosen, names, Ignore(ignore))
    return pair.survey(tolerances or {}, "compare_goldens").comparison


def survey_goldens(
    reference: Golden,
    candidate: Golden,
    *,
    tolerances: Mapping[str, Any] | None = None,
    names: Any = None,
    steps: Iterable[int] | None = None,
    kinds: Iterable[str] | None = None,
    sites: Iterable[str] | None = None,
    ignore: Iterable[str] = (),
    advance: Callable[[int], None] | None = None,
    detail: bool = False,
) -> Survey:
    """The same, kind by kind, with how far apart what passes is; ``advance`` is told of bytes compared.

    ``detail`` keeps what a report shows: every site of a step, and the elements of those that fail.
    """
    chosen = choose(reference, candidate, steps=steps, kinds=kinds, sites=sites)
    pair = _Pair(reference, candidate, chosen, names, Ignore(ignore))
    return pair.survey(tolerances or {}, "parity compare", measure=True, advance=advance, detail=detail)


class _Pair:
    """Two recordings, and what is to be compared of them."""

    def __init__(self, reference: Golden, candidate: Golden, chosen: Chosen, spec: Any, ignore: Ignore) -> None:
        self._held = reference
        self._candidate = candidate
        self._everything = chosen.everything
        self._ignore = ignore
        self._recorded = reference.steps
        self._left_out = _unknown(reference, candidate, chosen)
        self._probed = _probed_alone(reference, candidate)
        chosen = replace(chosen, kinds=chosen.kinds - self._left_out - ({Kind.PROBE} if self._probed else set()))
        self._theirs, self._own, self._derived = structures(reference, candidate)
        self._counterpart = Counterpart(Reference(reference, self._theirs or _NOTHING))
        if spec is not None or (self._theirs and self._own):
            self._counterpart.bind_structure(self._own or _NOTHING, self._speaking(spec))
        self._chosen = replace(chosen, apart=frozenset(filter(chosen, unsaid(reference, candidate, self.names))))
        steps = reference.steps if chosen.steps is None else chosen.steps
        self._reference = Selected(reference, steps, self._chosen)
        known = frozenset(self._theirs.tensors) if self._theirs else frozenset()
        self._recording = Translated(candidate, self.names, self._own, known)
        self._causes: Causes | None = None

    def _speaking(self, spec: Any) -> Any:
        """A name map; where tensors are all that is known of a model, its rules that speak of what is known."""
        if spec is None or not self._derived:
            return spec
        theirs, own = self._theirs or _NOTHING, self._own or _NOTHING
        return NameMap.build(spec).about(own.all_names, frozenset(theirs.all_names))

    @property
    def names(self) -> BoundNames:
        """The candidate's names in terms of the reference's."""
        return self._counterpart.names

    def survey(
        self,
        tolerances: Mapping[str, Any],
        origin: str,
        *,
        measure: bool = False,
        advance: Callable[[int], None] | None = None,
        detail: bool = False,
    ) -> Survey:
        """Compare."""
        starts = Starts(self._recording, self._reference)
        comparator = Comparator(
            self._reference,
            tolerances=Tolerances([(origin, tolerances)]),
            kinds=self._chosen.kinds,
            memory=0,
            names=self.names,
            batches=True,
            empty_fails=True,
            ignore=self._ignore,
            measure=measure,
            spool=starts,
            detail=detail,
        )
        inventory = Inventory(comparator, self._recording)
        try:
            for step in self._reference.steps:
                starts.step = step
                self._step(comparator, step, advance)
                inventory.take()
                self._explain(comparator, step)
                comparator.end()
            comparison = self._concluded(comparator)
            if problems := list(self._ignore.problems()):
                raise UsageError("; ".join(problems))
        finally:
            comparator.close()
        return self._survey(comparison, inventory)

    def _explain(self, comparator: Comparator, step: int) -> None:
        """Test the causes of the first step that fails, while its observations are known."""
        if self._causes is not None or step not in self._candidate.steps or not comparator.fails(comparator.kinds):
            return
        stepped = Stepped(self._reference, self._recording, self._chosen)
        stepped.begin(step)
        self._causes = Causes(self._reference, comparator, stepped, stepped.read)
        first = comparator.first_failing_step
        diagnosis = self._diagnose(first, comparator.comparison())
        if diagnosis is not None:
            self._causes.of(diagnosis)

    def _step(self, comparator: Comparator, step: int, advance: Callable[[int], None] | None) -> None:
        comparator.begin(step)
        comparator.regions = recorded_regions(self._reference, step) or {}
        if step not in self._candidate.steps:
            comparator.came_to.remove(step)
        else:
            for one in self._recording.observations(step, self._chosen):
                value = _see(comparator, one)
                if advance is not None and value is not None:
                    advance(value.nbytes)
        comparator.fill(comparator.kinds)

    def _concluded(self, comparator: Comparator) -> Comparison:
        first, found = comparator.first_failing_step, comparator.comparison()
        further = [] if self._chosen.steps is not None else [_further(self._candidate, step) for step in self._beyond]
        counterpart = self._counterpart
        if self._theirs or self._own:
            alone = not found.expected
            counterpart.compare(self._own or _NOTHING, alone=alone, ignore=_Unchosen(self._chosen, self._ignore))
        found = counterpart.added_to(replace(found, deltas=(*found.deltas, *further)))
        first = counterpart.failing or first or further
        diagnosis = self._diagnose(first, found) if first else None
        if diagnosis is not None and self._causes is not None and not counterpart.failing:
            diagnosis = replace(diagnosis, causes=self._causes.of(diagnosis))
        notes = (*counterpart.notes(), *self._notes(comparator))
        found = replace(
            found,
            diagnosis=diagnosis,
            notes=notes,
            trace=found.trace and self._told(found.trace),
            curves=tuple(recorded(self._held, self._candidate)) if self._everything else (),
        )
        return beside(
            found,
            first,
            reference=self._reference,
            candidate=self._candidate,
            structures=None if self._derived else (self._theirs, self._own),
            names=self.names,
        )

    def _told(self, trace: Trace) -> Trace:
        """With the candidate's own names of modules, and what it was computed with."""
        modules = self._theirs.modules if self._theirs else ()
        names = {path: own for path in modules if (own := self.names.back(path)) != path}
        return replace(trace, names=names, environment=self._candidate.manifest["provenance"].get("environment") or {})

    @property
    def _beyond(self) -> list[int]:
        return [step for step in self._candidate.steps if step not in self._reference.steps]

    def _diagnose(self, first: list[Delta], found: Comparison) -> Diagnosis | None:
        step = first[0].step
        if not self._counterpart.failing and step not in found.steps:
            return Diagnosis(Fault.SKIPPED, first[0].site, step, f"step {step}", "", others=len(first) - 1)
        diagnosis = first_divergence(
            first,
            names=self.names,
            structure=self._theirs if self._theirs and not self._derived else None,
            optimizers=self._reference.manifest["settings"].get("optimizers", ()),
        )
        if diagnosis is None or Kind.INPUT in self._chosen.kinds:
            return diagnosis
        return replace(diagnosis, hints=tuple(hint.replace(*_NOT_CHOSEN) for hint in diagnosis.hints))

    def _notes(self, comparator: Comparator) -> Iterable[str]:
        if self._reference.steps != self._candidate.steps and self._chosen.steps is None:
            theirs, own = steps_words(self._reference.steps), steps_words(self._candidate.steps)
            yield f"the reference has {theirs or 'no step'}, the candidate {own or 'no step'}"
        if self._left_out:
            names = [kind.value for kind in Kind if kind in self._left_out]
            yield f"only the candidate has these kinds, and the reference was imported: {listed(names, _SHOWN)} not compared"
        if self._probed:
            yield f"only the {self._probed} was recorded with probes (--parity-probe): they are not compared"
        if self._chosen.apart:
            paths = sorted({site.path for site in self._chosen.apart})
            yield (
                f"the reference was imported, and says nothing of {listed(paths, _SHOWN)}, which do not train: their gradients "
                "and updates are not compared"
            )
        yield from comparator.notes()

    def _survey(self, comparison: Comparison, inventory: Inventory) -> Survey:
        common: dict[str, Any] = {}
        if self._theirs and self._own and (self._theirs.parameters or self._own.parameters):
            common = asdict(common_parameters(self._theirs, self._own, self.names, derived=self._derived))
        return Survey(
            reference=str(self._reference.path),
            candidate=str(self._candidate.path),
            reference_steps=self._recorded,
            candidate_steps=self._candidate.steps,
            comparison=comparison,
            structure=common,
            kinds=inventory.kinds(),
            outputs=tuple(inventory.outputs),
            losses=tuple(inventory.losses),
        )


def _see(comparator: Comparator, one: Observed) -> torch.Tensor | None:
    """Compare a site; returns what had to be read for it."""
    if one.site.kind is not Kind.UPDATED_WEIGHT:
        return comparator.see_stored(one.site, one.place, one.read)
    value = one.read()
    if value is None:
        comparator.see(one.site, None)
    else:
        comparator.see_update(one.site, value, isolated=False)
    return value


class _Unchosen(Ignore):
    """What is not chosen, or ignored, as what a structure's comparison is to ignore."""

    def __init__(self, chosen: Chosen, ignore: Ignore) -> None:
        super().__init__()
        self._chosen = chosen
        self._ignore = ignore

    def pattern(self, site: Site) -> str | None:
        """``None`` where a site is to be compared."""
        return self._ignore.pattern(site) if self._chosen(site) else "not chosen"


def _unknown(reference: Golden, candidate: Golden, chosen: Chosen) -> frozenset[Kind]:
    """Kinds that only the candidate has, where the reference was written by a program that did not know them."""
    if not is_imported(reference):
        return frozenset()
    steps = reference.steps if chosen.steps is None else chosen.steps
    there = {entry.site.kind for step in steps for entry in reference.entries(step)}
    common = [step for step in steps if step in candidate.steps]
    own = {entry.site.kind for step in common for entry in candidate.entries(step)}
    return frozenset(own - there)


def _probed_alone(reference: Golden, candidate: Golden) -> str:
    """Which of the two was recorded with probes, where the other was not."""
    theirs, own = (Kind.PROBE.value in one.manifest["settings"].get("kinds", ()) for one in (reference, candidate))
    return "" if theirs is own else "reference" if theirs else "candidate"


def _further(candidate: Golden, step: int) -> Delta:
    """A step that the reference has not, in the place of all its sites."""
    entries = candidate.entries(step)
    site = str(entries[0].site) if entries else f"batch/step {step}"
    return Delta(site, step, -1, Verdict.EXTRA, detail=f"step {step} is the candidate's alone")
