"""Leak: whether what stands in the padding of a batch moves what is not padding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import torch

from pytest_parity.capture import Capture, Observe, Streams, kept_generators, leaves
from pytest_parity.compare.judge import judge
from pytest_parity.compare.region import Region, Valid, match, resolve
from pytest_parity.compare.tally import Found, Tally
from pytest_parity.compare.tolerance import make
from pytest_parity.diagnose import first_divergence
from pytest_parity.errors import ParityFailure, UsageError
from pytest_parity.names import BoundNames
from pytest_parity.report import leak_text
from pytest_parity.result import Comparison, Delta, Tolerance, Verdict
from pytest_parity.site import ROOT, Kind, Site

__all__ = ["MAGNITUDES", "assert_no_leak", "find_leak"]

MAGNITUDES = (1.0, 100.0)
"""Of the noise in the padding, in multiples of the valid values' root mean square."""

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
    ``UsageError`` where nothing is padded, nothing is looked at, or the model does not give the same twice. The model
    (weights, buffers, gradients), the batch and every random generator are as before.
    """
    leak = find_leak(
        model,
        batch,
        padded=padded,
        valid=valid,
        call=call,
        magnitudes=magnitudes,
        seed=seed,
        tolerance=make(rtol, atol, "assert_no_leak"),
    )
    if leak:
        raise ParityFailure(leak)


def find_leak(
    model: torch.nn.Module,
    batch: Any,
    *,
    padded: Mapping[str, Valid] | Valid,
    valid: Mapping[str, Valid] | None,
    call: Callable[[Any], Any] | None,
    magnitudes: Sequence[float],
    seed: int,
    tolerance: Tolerance | None,
) -> str:
    """What ``assert_no_leak`` has to say; empty where nothing leaks."""
    padding = _Padding(batch, {"*": padded} if isinstance(padded, Valid) else padded)
    probe = _Probe(model, batch, call, resolve(valid or {}, batch), tolerance or _EXACTLY, seed)
    probe.keep()
    if tolerance is None:
        again = probe.compare()
        if again.failures:
            raise UsageError(
                f"assert_no_leak: run twice on one batch, {again.failures[0].site} is not the same, so what moves with the "
                "padding cannot be told; give rtol and atol, or make the model deterministic"
            )
    for place, magnitude in enumerate(magnitudes):
        with padding.noise(magnitude, seed + place):
            found = probe.compare()
        if found.failures:
            return leak_text(found, type(model).__name__, magnitude=magnitude, whole=frozenset(map(str, probe.whole)))
    return ""


class _Padding:
    """The padded tensors of a batch, which are changed where they lie, and put back."""

    def __init__(self, batch: Any, padded: Mapping[str, Valid]) -> None:
        regions = resolve(padded, batch)
        tensors = [(path, tensor) for path, tensor in leaves(batch) if tensor is not None]
        self._padded: list[tuple[torch.Tensor, torch.Tensor]] = []
        for path, tensor in tensors:
            pattern = next((one for one in reversed(list(regions)) if fnmatchcase(path, one)), None)
            if pattern is not None and tensor.dtype is not torch.bool:
                inside = _mask(regions[pattern], tensor, f"padded {pattern!r}, {path or 'the batch'}")
                self._padded.append((tensor, inside.to(tensor.device)))
        names = ", ".join(path or "(the batch itself)" for path, _ in tensors) or "no tensor"
        for pattern in regions:
            if not any(fnmatchcase(path, pattern) for path, _ in tensors):
                raise UsageError(f"assert_no_leak: padded {pattern!r} matches nothing of the batch; it has {names}")
        if all(bool(inside.all()) for _, inside in self._padded):
            raise UsageError(
                "assert_no_leak: there is no padding to change: every position of what is padded is valid, or boolean. "
                "Give a batch whose examples are not all of one length"
            )

    @contextmanager
    def noise(self, magnitude: float, seed: int) -> Iterator[None]:
        """Put noise into the padding."""
        generator = torch.Generator().manual_seed(seed)
        originals = [tensor.detach().clone() for tensor, _ in self._padded]
        try:
            with torch.no_grad():
                for (tensor, inside), original in zip(self._padded, originals, strict=True):
                    tensor.copy_(torch.where(inside, original, _noise(original, inside, magnitude, generator)))
            yield
        finally:
            with torch.no_grad():
                for (tensor, _), original in zip(self._padded, originals, strict=True):
                    tensor.copy_(original)


def _noise(tensor: torch.Tensor, inside: torch.Tensor, magnitude: float, generator: torch.Generator) -> torch.Tensor:
    valid = tensor[inside]
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return valid[torch.randint(valid.numel(), tensor.shape, generator=generator).to(tensor.device)]
    known = valid[torch.isfinite(valid)].abs().double()
    scale = float(known.square().mean().sqrt()) if known.numel() else 0.0
    wide = torch.complex128 if tensor.is_complex() else torch.float64
    noise = torch.randn(tensor.shape, generator=generator, dtype=wide).mul_(magnitude * (scale or 1.0))
    if not tensor.is_complex():
        noise.clamp_(-torch.finfo(tensor.dtype).max / 4, torch.finfo(tensor.dtype).max / 4)
    return noise.to(device=tensor.device, dtype=tensor.dtype)


@dataclass
class _Probe:
    """Runs a model again and again from one state, and compares with the run that was kept."""

    model: torch.nn.Module
    batch: Any
    call: Callable[[Any], Any] | None
    regions: Mapping[str, Region]
    tolerance: Tolerance
    seed: int

    def keep(self) -> None:
        """Run, and keep what is to be looked at; raises ``UsageError`` where that is nothing."""
        self.kept: dict[Site, torch.Tensor] = {}
        self.whole: set[Site] = set()
        """Sites without a region."""

        def take(site: Site, value: torch.Tensor | None) -> None:
            if value is not None and self._looked_at(site, value):
                self.kept[site] = value.detach().clone()

        self._run(take)
        if not self.kept:
            raise UsageError(
                "assert_no_leak: there is nothing to look at: no tensor came back, and no valid region matches a module; "
                "let call return the outputs, or declare valid={'encoder.*': Valid(dim=1, lengths='audio_len')}"
            )

    def compare(self) -> Comparison:
        """Run again, and compare."""
        found: dict[Site, Found | Delta] = {}
        order = {site: place for place, site in enumerate(self.kept)}

        def take(site: Site, value: torch.Tensor | None) -> None:
            if site in self.kept and site not in found:
                region = match(self.regions, site)
                fits = value is not None and value.shape == self.kept[site].shape
                one = judge(value, self.kept[site], self.tolerance, region=region if fits else None)
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
        region = match(self.regions, site)
        if region is None:
            returned = site.kind is Kind.OUTPUT or (
                self.call is None and site.kind is Kind.ACTIVATION and site.path == ROOT
            )
            if returned:
                self.whole.add(site)
            return returned
        try:
            _mask(region, value, str(site))
        except UsageError:
            if site.kind is not Kind.INPUT:
                raise
            return False  # lengths and masks go in beside what they are about
        return True

    def _run(self, take: Observe) -> None:
        streams = Streams("leak", policy="keyed", seed=self.seed)
        capture = Capture(self.model, take, streams=streams, names=BoundNames.identity(), kinds=_CALLS)
        with ExitStack() as stack:
            stack.enter_context(kept_generators())
            stack.enter_context(_as_before(self.model))
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


def _mask(region: Region, tensor: torch.Tensor, what: str) -> torch.Tensor:
    try:
        return region.mask(tensor.shape)
    except UsageError as error:
        raise UsageError(f"assert_no_leak: {what}: {error}") from None


@contextmanager
def _as_before(model: torch.nn.Module) -> Iterator[None]:
    """Weights, buffers and gradients are afterwards what they were, and the same objects."""
    tensors = [*model.parameters(), *model.buffers()]
    values = [(tensor, tensor.detach().clone()) for tensor in tensors]
    gradients = [(tensor, tensor.grad, None if tensor.grad is None else tensor.grad.clone()) for tensor in tensors]
    buffers = [(module, dict(module._buffers)) for module in model.modules()]  # noqa: SLF001  which object, not its name
    try:
        yield
    finally:
        with torch.no_grad():
            for module, held in buffers:
                module._buffers.clear()  # noqa: SLF001
                module._buffers.update(held)  # noqa: SLF001
            for tensor, value in values:
                tensor.copy_(value)
            for tensor, gradient, value_before in gradients:
                tensor.grad = gradient
                if gradient is not None and value_before is not None:
                    gradient.copy_(value_before)
