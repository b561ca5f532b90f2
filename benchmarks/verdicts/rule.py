"""Rule: which faults the dtype cannot show on the recorded data, decided before any verdict and without the library's.

The fault is put into the recorded implementation itself, in float64, on the recorded weights, batches, masks and
optimizer state, each step from its recorded start. ``effect`` is how far it moves a site there. It cannot be seen if at
every site

    effect < K * max(eps(dtype) * ||r||, ||recorded - float64||)        with K = 4

where ``||r||`` is the site's norm and the second term how far the recorded value itself is from what the same
computation gives in float64: what rounding has made of it. Sites are the outputs of all module calls, the loss, the
gradients of all parameters, and what a step makes of buffers. Of a fault in an optimizer they are the updates, which are
known to ``K * eps(dtype) * ||w||``. A value that is not finite, or a gradient that is missing, is seen.

K was fixed before the first run, and is 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from benchmarks.verdicts.faults import OPTIMIZER
from benchmarks.verdicts.trace import Key, Trace, traced
from benchmarks.verdicts.workloads import Case, Plantable, Way
from pytest_parity.site import Kind, Site

__all__ = ["K", "Rule", "Shown"]

K = 4.0


@dataclass(frozen=True, slots=True)
class Shown:
    """The largest effect of a fault, in multiples of what the dtype has lost at that site, and the site."""

    ratio: float
    site: str

    @property
    def visible(self) -> bool:
        """Whether the dtype shows it."""
        return self.ratio >= K


class Rule:
    """Decides for one case; ``recorded`` are the reference's values in the case's own dtype."""

    def __init__(self, case: Case, recorded: Trace, way: Way | None = None) -> None:
        self._case = replace(case, wide=True)
        self._way = Way() if way is None else way
        self._starts = recorded.starts
        self._truth = traced(self._case, self._way, starts=self._starts)
        self._limits = dict(self._lost(recorded))

    def _lost(self, recorded: Trace) -> list[tuple[Key, float]]:
        """What the dtype has lost at each site; of parameters' updates what the weight cannot hold."""
        lost = []
        for key, value in recorded.values.items():
            truth = self._truth.values.get(key)
            if truth is None or not value.is_floating_point():
                continue
            eps = torch.finfo(value.dtype).eps
            held = _norm(value) if key[1].kind is Kind.UPDATED_WEIGHT else _norm(truth)
            own = 0.0 if self._isolated(key[1]) else _norm(value.double() - truth)
            lost.append((key, max(eps * held, own)))
        return lost

    def _isolated(self, site: Site) -> bool:
        """Whether it is a parameter's update, which an optimizer makes of the recorded gradient."""
        return site.kind is Kind.UPDATED_WEIGHT and (0, Site(Kind.GRADIENT, site.path)) in self._truth.values

    def shown(self, fault: Plantable) -> Shown:
        """What a fault does."""
        faulty = traced(self._case, self._way, fault, self._starts)
        found = Shown(0.0, "")
        for key, limit in self._limits.items():
            if self._isolated(key[1]) is not (fault.path == OPTIMIZER):
                continue
            value = faulty.values.get(key)
            effect = math.inf if value is None else _norm(value - self._truth.values[key])
            ratio = effect / limit if limit else (math.inf if effect else 0.0)
            if not ratio <= found.ratio:
                found = Shown(math.inf if math.isnan(ratio) else ratio, str(key[1]))
        return found


def _norm(value: Tensor) -> float:
    return float(value.double().norm())
