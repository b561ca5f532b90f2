"""Reach: the smallest scale error that a tolerance, or a noise floor, still catches at a site, in closed form.

A candidate that is off by a factor ``1 + s`` has ``a - r = s * r`` everywhere. Of ``|a-r| <= atol + rtol * |r|`` the
first element to fail is the largest: ``s = rtol + atol / max|r|``. A norm exceeds ``factor`` floors from
``s = factor * floor / ||r||`` on, and a gain, which is ``s`` itself, from ``factor * floor`` on. Nothing below half the
rounding of the dtype is a change at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from pytest_parity.compare.dtypes import EXACT, rounding
from pytest_parity.golden.noise import Floor
from pytest_parity.report.power import Reach
from pytest_parity.result import Tolerance
from pytest_parity.site import CAUSAL_ORDER, Site

__all__ = ["gathered", "smallest_scale"]


def smallest_scale(
    reference: torch.Tensor, tolerance: Tolerance, floor: Floor | None, slack: torch.Tensor | None = None
) -> float | None:
    """The smallest ``s`` for which ``(1 + s) * reference`` fails, infinite where none does.

    ``reference`` has any shape and a floating or complex dtype; ``slack`` is allowed besides, element by element.
    ``None`` where a factor cannot change anything: integers, booleans, and what is zero or not finite throughout.
    """
    if reference.dtype in EXACT:
        return None
    size = reference.detach().abs().double().flatten()
    kept = torch.isfinite(size) & (size > 0)
    size = size[kept]
    if not size.numel():
        return None
    least = rounding(reference.dtype) / 2
    if floor is not None and tolerance.factor is not None:
        return max(_by_floor(tolerance.factor, floor), least)
    allowed = torch.full_like(size, tolerance.atol)
    if slack is not None:
        allowed += slack.double().flatten()[kept]
    return max(tolerance.rtol + float((allowed / size).min()), least)


def _by_floor(factor: float, floor: Floor) -> float:
    if not floor.reference:
        return math.inf
    norm = factor * floor.norm / floor.reference
    return norm if norm >= 1 else min(norm, factor * floor.gain)


def gathered(sites: Iterable[tuple[Site, Tolerance, float]]) -> tuple[Reach, ...]:
    """By kind and tolerance, in causal order: the smallest scale that one site shows, that half do, and that all do."""
    groups: dict[tuple[str, Tolerance], list[tuple[float, Site]]] = {}
    for site, tolerance, scale in sites:
        groups.setdefault((site.kind.value, tolerance), []).append((scale, site))
    order = {kind.value: rank for kind, rank in CAUSAL_ORDER.items()}
    found = []
    for (kind, tolerance), scales in sorted(groups.items(), key=lambda group: order[group[0][0]]):
        every, site = max(scales, key=lambda one: one[0])
        ascending = sorted(scale for scale, _ in scales)
        half = ascending[(len(ascending) - 1) // 2]
        found.append(Reach(kind, tolerance, len(scales), ascending[0], half, every, str(site)))
    return tuple(found)
