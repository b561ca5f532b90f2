"""Leak: whether what stands in the padding of a batch moves what is not padding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from math import inf
from typing import Any

import torch

from pytest_parity.capture import Capture, Observe, Streams, kept_generators, leaves
from pytest_parity.compare.judge import judge
from pytest_parity.compare.region import Region, match
from pytest_parity.compare.tally import Found, Tally
from pytest_parity.compare.tolerance import make
from pytest_parity.compare.valid import Valid, resolve
from pytest_parity.diagnose import first_divergence
from pytest_parity.errors import ParityFailure, UsageError
from pytest_parity.names import BoundNames
from pytest_parity.report import leak_text, sound_text
from pytest_parity.result import Comparison, Delta, Tolerance, Verdict
from pytest_parity.session.memory import left_alone
from pytest_parity.session.padding import PaddedBatch
from pytest_parity.session.regions import Declared
from pytest_parity.site import ROOT, Kind, Site

__all__ = ["MAGNITUDES", "LeakCheck", "assert_no_leak", "look_for_leak"]

MAGNITUDES = (1.0, 100.0)
"""Of the noise in the padding, in multiples of the valid values' root mean square."""


@dataclass(frozen=True, slots=True)
class LeakCheck:
    """What noise in the padding did: the last comparison, and in words that it leaks, or that it does not."""

    leaks: bool
    text: str
    comparison: Comparison


_CALLS = frozenset({Kind.INPUT, Kind.ACTIVATION})
_EXACTLY = Tolerance(0.0, 0.0, "bit for bit")


def assert_no_leak(
    model: torch.nn.Module,
    batch: Any,
    *,
    padded: Mapping[str, Valid] | Valid,
    valid: Mapping[str, Valid] | None = None,
    call: Callable[[Any], Any] | None = None,
    magnitudes: Sequence[float] = MAGNITUDES,
    seed: int = 0,
    rtol: float | None = None,
    atol: float | None = None,
) -> None:
    """Run the model with noise in the padding of a batch: nothing that is valid may move, bit for bit.

    ``padded`` says which of the batch's tensors are padded, by patterns of their paths, and where they are valid:
    ``{"audio": Valid(dim=1, lengths="audio_len")}``. Everything else there is replaced: floating values by noise of
    each of ``magnitudes`` (times the valid values' root mean square), integers by others of the valid ones; booleans are
    left. ``valid`` are the valid regions of module calls, as in ``watch``, and of what ``call`` returns (``"outputs"``).
    What the model returns is looked at whole where no region is declared for it; other calls only where one is.
    ``call`` runs the model on the batch; default ``model(batch)``, ``model(*batch)`` of a tuple or list and
    ``model(**batch)`` of a mapping. ``rtol`` and ``atol`` allow for rounding.

    Raises ``ParityFailure`` with the first module whose valid positions move while those of its inputs do not, and
    ``UsageError`` where it could not have failed: nothing is padded or looked at, a pattern matches nothing, the noise
    changes nothing, what is looked at is not finite, or the model does not give the same twice. The model
    (weights, buffers, gradients), the batch and every random generator are as before.
    """
    found = look_for_leak(
        model,
        batch,
        padded=padded,
        valid=valid,
        call=call,
        magnitudes=magnitudes,
        seed=seed,
        tolerance=make(rtol, atol, "assert_no_leak"),
    )
    if found.leaks:
        raise ParityFailure(found.text)


def look_for_leak(
    model: torch.nn.Module,
    batch: Any,
    *,
    padded: Mapping[str, Valid] | Valid,
    valid: Mapping[str, Valid] | None,
    call: Callable[[Any], Any] | None,
    magnitudes: Sequence[float],
    seed: int,
    tolerance: Tolerance | None,
    shared: bool = False,
) -> LeakCheck:
    """What ``assert_no_leak`` finds.

    The patterns of ``valid`` need not all match something where they are ``shared`` with other checks.
    """
    sizes = _checked(magnitudes)
    padding = PaddedBatch(batch, {"*": padded} if isinstance(padded, Valid) else padded)
    probe = _Probe(model, batch, call, resolve(valid or {}, batch), tolerance or _EXACTLY, seed)
    problems = probe.keep()
    if problems and not shared:
        raise UsageError(f"assert_no_leak: {problems}")
    if tolerance is None:
        again = probe.compare()
        if again.failures:
            raise UsageError(
                f"assert_no_leak: run twice on one batch, {again.failures[0].site} is not the same, so what moves with the "
                "padding cannot be told; give rtol and atol, or make the model deterministic"
            )
    for place, magnitude in enumerate(sizes):
        with padding.noise(magnitude, seed + place):
            found = probe.compare()
        if found.counts.get(Verdict.VACUOUS) and not found.counts.get(Verdict.CLOSE):
            raise UsageError(
                f"assert_no_leak: atol={probe.tolerance.atol:g} is not below the largest value of anything that moves, so "
                "that nothing could have failed; give a smaller one"
            )
        if found.failures:
            whole = frozenset(map(str, probe.whole))
            return LeakCheck(True, leak_text(found, type(model).__name__, magnitude=magnitude, whole=whole), found)
    return LeakCheck(False, sound_text(found, type(model).__name__, sizes), found)


def _checked(magnitudes: Sequence[float]) -> tuple[float, ...]:
    sizes = tuple(magnitudes)
    if not sizes or not all(isinstance(one, (int, float)) and 0 < one < inf for one in sizes):
        raise UsageError(
            f"assert_no_leak: magnitudes={magnitudes!r}; they are numbers above 0, one for each run with noise of that size, "
            f"as in magnitudes={MAGNITUDES}"
        )
    return sizes


@dataclass
class _Probe:
    """Runs a model again and again from one state, and compares with the run that was kept."""

    model: torch.nn.Module
    batch: Any
    call: Callable[[Any], Any] | None
    regions: Mapping[str, Region]
    tolerance: Tolerance
    seed: int

    def keep(self) -> str:
        """Run, and keep what is to be looked at; raises ``UsageError`` where that is nothing.

        Returns what there is to say of patterns that match nothing.
        """
        self.kept: dict[Site, torch.Tensor] = {}
        self.whole: set[Site] = set()
        """Sites without a region."""
        declared = Declared()
        declared.begin(self.regions)

        def take(site: Site, value: torch.Tensor | None) -> None:
            declared.see(site, value)
            if value is not None and self._looked_at(site, value):
                self.kept[site] = value.detach().clone()

        self._run(take)
        if not self.kept:
            raise UsageError(
                "assert_no_leak: there is nothing to look at: no tensor came back, and no valid region matches a module; "
                "let call return the outputs, or declare valid={'encoder.*': Valid(dim=1, lengths='audio_len')}"
            )
        for site, value in self.kept.items():
            self._check_finite(site, value)
        return "; ".join(declared.problems())

    def _check_finite(self, site: Site, value: torch.Tensor) -> None:
        region = match(self.regions, site, value.shape)
        inside = value if region is None else value[region.mask(value.shape).to(value.device)]
        if inside.numel() and not bool(torch.isfinite(inside).any()):
            raise UsageError(
                f"assert_no_leak: nothing of {site} is finite on the batch as it is, so that what moves cannot be seen"
            )

    def compare(self) -> Comparison:
        """Run again, and compare."""
        found: dict[Site, Found | Delta] = {}
        order = {site: place for place, site in enumerate(self.kept)}

        def take(site: Site, value: torch.Tensor | None) -> None:
            if site in self.kept and site not in found:
                fits = value is not None and value.shape == self.kept[site].shape
                region = match(self.regions, site, self.kept[site].shape) if fits else None
                one = judge(value, self.kept[site], self.tolerance, region=region)
                found[site] = Delta(
                    str(site), 0, order[site], one.verdict, one.elements, one.tolerance, one.metrics, detail=one.detail
                )

        self._run(take)
        for site, place in order.items():
            found.setdefault(site, Delta(str(site), 0, place, Verdict.MISSING, detail="not called, or not returned"))
        tally = Tally().plus(found)
        comparison = tally.comparison(type(self.model).__name__, expected=len(self.kept), steps=())
        return replace(comparison, diagnosis=first_divergence(tally.first, names=BoundNames.identity()))

    def _looked_at(self, site: Site, value: torch.Tensor) -> bool:
        try:
            region = match(self.regions, site, value.shape)
        except UsageError as error:
            raise UsageError(f"assert_no_leak: {error}") from None
        if region is None:
            returned = site.kind is Kind.OUTPUT or (
                self.call is None and site.kind is Kind.ACTIVATION and site.path == ROOT
            )
            if returned:
                self.whole.add(site)
            return returned
        return True

    def _run(self, take: Observe) -> None:
        streams = Streams("leak", policy="keyed", seed=self.seed)
        capture = Capture(self.model, take, streams=streams, names=BoundNames.identity(), kinds=_CALLS)
        with ExitStack() as stack:
            stack.enter_context(kept_generators())
            stack.enter_context(left_alone(self.model, ()))
            stack.callback(capture.detach)
            stack.callback(capture.modules.end_step)
            capture.attach()
            streams.seed_step(0, "step")
            capture.begin_step(0)
            if self.call is None:
                _called(self.model, self.batch)
                return
            for leaf, tensor in leaves(self.call(self.batch), "out"):
                take(Site(Kind.OUTPUT, "outputs", leaf=leaf), tensor)


def _called(model: torch.nn.Module, batch: Any) -> Any:
    if isinstance(batch, Mapping):
        return model(**batch)
    return model(*batch) if isinstance(batch, (tuple, list)) else model(batch)
