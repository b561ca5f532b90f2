"""The rows of a step's sites, as the document has them; what is not known of a site is left out."""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from typing import Any, cast

from pytest_parity.report.model import SiteRow
from pytest_parity.result import Closeup, Comparison, Delta, Traced, Verdict
from pytest_parity.site import INPUTS, ROOT, Kind, Site

__all__ = ["CALLED", "Owners", "site_rows", "told_sites"]

CALLED = frozenset({Kind.PROBE, Kind.INPUT, Kind.ACTIVATION, Kind.ACTIVATION_GRADIENT})
"""Kinds whose path is a module's."""
_HELD = frozenset({Kind.WEIGHT, Kind.GRADIENT, Kind.OPTIMIZER, Kind.UPDATED_WEIGHT})
"""Kinds whose path is a parameter's, or a buffer's."""


class Owners:
    """The module that a site belongs to; of no known ``modules`` by its path alone."""

    def __init__(self, modules: Container[str]) -> None:
        self._modules = modules
        self._held: dict[str, str] = {}

    def __call__(self, site: Site) -> str:
        """The reference's path; empty where there is none: of a batch, an output, an input's gradient."""
        if site.kind in CALLED:
            return site.path
        if site.kind not in _HELD or site.path.startswith(f"{INPUTS}."):
            return ""
        return self.of(site.path)

    def of(self, name: str) -> str:
        """The module that holds a parameter."""
        path = self._held.get(name)
        if path is None:
            path = name.rpartition(".")[0]
            while self._modules and path and path not in self._modules:
                path = path.rpartition(".")[0]
            path = self._held[name] = path or ROOT
        return path


def told_sites(comparison: Comparison | None) -> tuple[int | None, Sequence[Traced]]:
    """The step that is told and its sites; without a trace those of the first failing step that are not equal or close."""
    if comparison is None:
        return None, ()
    if comparison.trace is not None:
        return comparison.trace.step, comparison.trace.sites
    step = next((delta.step for delta in comparison.failures), None)
    return step, [Traced(delta) for delta in comparison.deltas if delta.step == step]


def site_rows(traced: Sequence[Traced], owners: Owners) -> list[SiteRow]:
    """A row for each of a step's sites."""
    return [_row(one, owners) for one in traced]


def _row(one: Traced, owners: Owners) -> SiteRow:
    delta = one.delta
    site = Site.parse(delta.site)
    row: dict[str, Any] = {"site": delta.site, "kind": site.kind.value, "verdict": delta.verdict.value}
    row.update(
        order=delta.order if delta.order >= 0 else None,
        candidate=delta.candidate or None,
        module=owners(site) or None,
        elements=delta.elements or None,
        shape=None if one.shape is None else list(one.shape),
        dtype=one.dtype or None,
        detail=delta.detail or None,
        replayed=one.replayed or None,
        isolated=one.isolated or None,
        **_numbers(delta),
        **_closeup(one.closeup),
    )
    return cast("SiteRow", {name: value for name, value in row.items() if value is not None})


def _numbers(delta: Delta) -> dict[str, Any]:
    if delta.verdict is Verdict.EQUAL:
        return {}
    apart, metrics, noise, tolerance = delta.apart, delta.metrics, delta.noise, delta.tolerance
    found: dict[str, Any] = {"share": _share(delta)}
    if noise is not None:
        found["floors"] = {"norm": noise.norm_ratio, "gain": noise.gain_ratio, "factor": noise.factor}
    elif tolerance is not None and tolerance.factor is None:
        found.update(rtol=tolerance.rtol, atol=tolerance.atol)
    if tolerance is not None:
        found["origin"] = tolerance.origin
    if apart is not None and (metrics is None or metrics.finite):
        found.update(max_abs=apart.max_abs, mean_abs=apart.mean_abs, relative_l2=apart.relative_l2)
    if metrics is not None:
        found["mismatched"] = metrics.mismatched
    if metrics is not None and metrics.finite:
        found["cosine"] = metrics.cosine
        found["allowed"] = None if noise is not None else metrics.worst_allowed
    return found


def _share(delta: Delta) -> float | None:
    if delta.noise is not None:
        return delta.noise.closeness
    metrics = delta.metrics
    if metrics is None or not delta.verdict.fails:
        return None
    if delta.verdict is Verdict.NONFINITE or not metrics.worst_allowed:
        return math.inf
    return abs(metrics.worst_actual - metrics.worst_expected) / metrics.worst_allowed


def _closeup(closeup: Closeup | None) -> dict[str, Any]:
    if closeup is None:
        return {}
    worst = [{"index": list(one.index), "here": one.here, "reference": one.reference} for one in closeup.worst]
    histogram = closeup.histogram
    return {
        "worst": worst,
        "histogram": {
            "start": histogram.start,
            "width": histogram.width,
            "counts": list(histogram.counts),
            "equal": histogram.equal,
            "nonfinite": histogram.nonfinite,
        },
    }
