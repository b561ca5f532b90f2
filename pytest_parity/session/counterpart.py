"""Counterpart: a candidate's model beside the reference's: how its names map, and whether it is built the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from pytest_parity.capture import TensorTable
from pytest_parity.compare.coverage import Ignore
from pytest_parity.contract.structure import Structure, compare_structures, count_difference, describe
from pytest_parity.names import BoundNames, NameMap
from pytest_parity.result import IGNORED, Comparison, Delta, Verdict
from pytest_parity.session.reference import Reference
from pytest_parity.session.roundtrip import check_round_trip
from pytest_parity.site import Site

__all__ = ["Counterpart"]


class Counterpart:
    """What is known of the candidate's model before any number."""

    def __init__(self, reference: Reference, *, allow_dtype: bool = False) -> None:
        self._allow_dtype = allow_dtype
        self.names = BoundNames.identity()
        self._bound: tuple[Any, Structure] | None = None
        """The name map as it was given, and the structure that it was applied to."""
        self._reference = reference
        self._sites = 0
        self._excepted = 0
        self._alone = False
        self._failing: tuple[Delta, ...] = ()
        self._notes: tuple[str, ...] = ()

    def bind(self, model: torch.nn.Module, spec: Any) -> None:
        """Apply a name map; what was bound before stays where there is none. Raises ``NameMapError``."""
        if spec is None and self._bound is not None:
            return
        own = describe(model)
        if self._bound is not None and self._bound[0] is spec and self._bound[1] == own:
            return  # load and watch are given the same
        self.bind_structure(own, spec)
        if self.names.layouts:
            check_round_trip(self.names, TensorTable(model, self.names.path, self.known).now())

    def bind_structure(self, own: Structure, spec: Any) -> None:
        """The same for a model that is known by its structure alone."""
        reference = self._reference.structure
        self._bound = (spec, own)
        self.names = NameMap.build(spec).bind(
            own.all_names,
            reference.all_names,
            candidate_aliases=own.tensor_aliases,
            reference_aliases=reference.tensor_aliases,
            candidate_shapes={name: info.shape for name, info in own.tensors.items()},
            reference_shapes={name: info.shape for name, info in reference.tensors.items()},
        )

    @property
    def known(self) -> frozenset[str]:
        """The paths under which a tensor of the candidate has a counterpart; a tied one goes by the first of them."""
        return self._reference.tensor_names | self.names.layouts.keys()

    def compare(self, own: Structure, *, alone: bool = False, ignore: Ignore | None = None) -> bool:
        """Compare structures: whether they agree. ``alone``: it is what the test asserts, and counts as compared."""
        reference = self._reference.structure
        deltas = compare_structures(reference, own, self.names, allow_dtype=self._allow_dtype)
        self._alone = self._alone or alone
        self._sites = len(reference.tensors)
        failing = [delta for delta in deltas if delta.verdict.fails]
        self._failing = tuple(d for d in failing if ignore is None or ignore.pattern(Site.parse(d.site)) is None)
        excepted = (delta for delta in failing if delta not in self._failing)
        self._excepted = sum(delta.verdict is not Verdict.EXTRA for delta in excepted)
        self._notes = count_difference(reference, own, self.names) if self._failing else ()
        if alone and not self._failing:
            self._notes = (f"structure: {own.describe_counts()}",)
        return not self._failing

    @property
    def failing(self) -> list[Delta]:
        """What is built differently."""
        return list(self._failing)

    def notes(self) -> Iterator[str]:
        """The counts of parameters, and where they differ."""
        yield from self._notes

    def added_to(self, found: Comparison) -> Comparison:
        """A comparison of values, with what the structures add to it."""
        if not (self._failing or self._alone):
            return found
        counts = Counter(found.counts)
        counts.update(delta.verdict.value for delta in self._failing)
        known = sum(delta.verdict is not Verdict.EXTRA for delta in self._failing)
        missing = sum(delta.verdict is Verdict.MISSING for delta in self._failing)
        counts[Verdict.EQUAL.value] += self._sites - known - self._excepted
        counts[IGNORED] += self._excepted
        return replace(
            found,
            counts={verdict: count for verdict, count in counts.items() if count},
            expected=found.expected + self._sites,
            compared=found.compared + self._sites - missing - self._excepted,
            deltas=(*self._failing, *found.deltas),
        )
