"""Floor: the verdict of the noise floor, and how the floors are put together from what a reference's own draws moved.

Two statistics a site, of ``d = a - r``: the norm ``||d||``, and the gain ``|<d,r>/<r,r>|``, which sees a factor far below
the norm's noise, since rounding averages out in it. Of an update ``r`` is the reference's update.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median

import torch

from pytest_parity.compare.dtypes import EXACT, rounding, screen_dtype
from pytest_parity.compare.pieces import Scratch
from pytest_parity.compare.screen import widened
from pytest_parity.golden.noise import Floor
from pytest_parity.result import Noise, Spread, Tolerance, Verdict
from pytest_parity.site import Kind, Site

__all__ = [
    "DEFAULT_FACTORS",
    "Distance",
    "Measured",
    "assembled",
    "default_factor",
    "noise_of",
    "of_squares",
    "verdict_of",
    "widening",
]

DEFAULT_FACTORS = {"float64": 10.0, "float32": 10.0, "bfloat16": 6.0, "float16": 10.0}
"""By dtype; set from ``python -m benchmarks.verdicts``, seeds 0 to 9: correct variants came to 6.6 in float32, to 3.7 in bfloat16."""

_COARSE = 10.0
_MILLION = 6.0
"""A correct value of one number exceeds its bound once in ``10 ** _MILLION`` sites at most."""
_TINY = 16
"""Elements up to which a norm counts as a few numbers."""
_POOL = 8
"""Sites of a kind from which their median gain says something."""
_NARROWER = {torch.bfloat16: (torch.int16, 0x1), torch.float16: (torch.int16, 0x1), torch.float32: (torch.int32, 0xFF)}
"""Dtypes that a wider one may hold the values of, with their last places: of float32 a byte, for one value alone tells."""
_USED = 8
"""One in so many values at least uses the last places of the dtype that it was computed in."""
_ALL_NOISE = 0.5
"""Share of its own norm from which a site that moves by it in the draws is noise."""
_SAFE = (1e-12, 1e12)
"""Magnitudes whose squares and sums of squares are ordinary numbers in float32."""


def default_factor(dtype: str) -> float:
    """The factor at a site of a dtype, by name."""
    return DEFAULT_FACTORS.get(dtype, _COARSE)


def of_squares(tolerance: Tolerance, floor: Floor) -> Tolerance:
    """What is allowed of an optimizer's state: where that is all noise, the factor's square.

    Second moments hold squares of gradients: noise three times as large, which a gradient may have, makes nine of them. The
    gradient itself was judged, by the factor, in the step before.
    """
    factor = tolerance.factor
    if factor is None or factor <= 1 or floor.norm < _ALL_NOISE * floor.reference:
        return tolerance
    return replace(tolerance, factor=factor**2)


class Distance:
    """The two statistics of a site whose pieces arrive one after the other.

    ``expected`` is ``||r||`` of the whole, ``count`` its elements: where their magnitude is such that squares would
    vanish or overflow in float32, sums run in float64. ``precise`` has them run there in any case. What is not finite
    on both sides, and the same there, counts as no difference; anything else that is not finite ends in ``broken``, and so
    do squares that float64 cannot hold. ``measure`` follows the largest and the mean difference besides.
    """

    def __init__(
        self,
        dtype: torch.dtype,
        scratch: Scratch,
        *,
        expected: float = 0.0,
        count: int = 1,
        precise: bool = False,
        measure: bool = False,
    ) -> None:
        self._measure = measure
        self._largest = self._total = 0.0
        typical = expected / math.sqrt(max(count, 1))
        fast = not precise and screen_dtype(dtype) is torch.float32 and _SAFE[0] < typical < _SAFE[1]
        self._work = torch.float32 if fast else torch.complex128 if dtype.is_complex else torch.float64
        self.exact = dtype in EXACT
        self._scratch = scratch
        self.squares = self.product = self.own = self.weight = 0.0
        self.changed = self.elements = 0
        self.broken = False
        self._precise = precise
        narrower = (one for one in _NARROWER if precise and one.itemsize < dtype.itemsize and not self.exact)
        self._fits = dict.fromkeys(narrower, 0)
        """The narrower dtypes that hold everything so far, and how many values use their last places."""
        self._others = 0
        """How many values are neither zero nor infinite."""
        self._whole = True

    def add(self, actual: torch.Tensor, expected: torch.Tensor) -> None:
        """Take two flat pieces of one length."""
        self.elements += actual.numel()
        if self.exact:
            self.changed += int((actual != expected).sum())
            return
        ours = widened(actual, self._work, "wide_actual", self._scratch)
        theirs = widened(expected, self._work, "wide_expected", self._scratch)
        if self._fits and not expected.is_complex():
            self._see_narrower(expected)
        distance = torch.sub(ours, theirs, out=self._scratch.take("distance", self._work, ours.numel()))
        self._sum(distance, theirs, lambda: ours)

    def _see_narrower(self, expected: torch.Tensor) -> None:
        self._whole = self._whole and torch.equal(expected, expected.round())
        self._others += int(((expected != 0) & torch.isfinite(expected)).sum())
        for one, used in list(self._fits.items()):
            narrow = expected.to(one)
            if torch.equal(narrow.to(expected.dtype), expected):
                word, last = _NARROWER[one]
                self._fits[one] = used + int(((narrow.view(word) & last) != 0).sum())
            else:
                del self._fits[one]

    def add_update(
        self, new: torch.Tensor, begun: torch.Tensor | None, expected: torch.Tensor, start: torch.Tensor
    ) -> None:
        """Take flat pieces of new weights, their start (``None``: the reference's), and the reference's of both."""
        self.elements += new.numel()
        if self.exact:
            own = start if begun is None else begun
            others = new != expected if new.dtype is torch.bool else new - own != expected - start
            self.changed += int(others.sum())
            return
        ours = widened(new, self._work, "wide_actual", self._scratch)
        theirs = widened(expected, self._work, "wide_expected", self._scratch)
        before = widened(start, self._work, "wide_start", self._scratch)
        moved = torch.sub(theirs, before, out=self._scratch.take("moved", self._work, ours.numel()))
        own = before if begun is None else widened(begun, self._work, "wide_begun", self._scratch)
        distance = self._scratch.take("distance", self._work, ours.numel())
        if begun is None:
            torch.sub(ours, theirs, out=distance)
        else:
            torch.sub(ours, own, out=distance).sub_(moved)
        if self._precise:
            self.weight += _dot(theirs, theirs)
        self._sum(distance, moved, lambda: ours - own)

    def _sum(self, distance: torch.Tensor, theirs: torch.Tensor, values: Callable[[], torch.Tensor]) -> None:
        squares, product = _dot(distance, distance), _dot(distance, theirs)
        own = _dot(theirs, theirs) if self._precise else 0.0
        if not math.isfinite(squares + product + own):
            ours = values()
            same = (ours == theirs) | (torch.isnan(ours) & torch.isnan(theirs))
            finite = torch.isfinite(ours) & torch.isfinite(theirs)
            self.broken = self.broken or not bool((same | finite).all())
            zero = torch.zeros((), dtype=torch.float64)
            wide = theirs.to(torch.complex128 if theirs.is_complex() else torch.float64)
            theirs = torch.where(finite, wide, zero)
            distance = torch.where(finite, ours.to(wide.dtype) - wide, zero)
            squares, product, own = _dot(distance, distance), _dot(distance, theirs), _dot(theirs, theirs)
            self.broken = self.broken or not math.isfinite(squares + product + own)
        if squares == 0.0 and bool((distance != 0).any()):  # in a tail whose squares float32 cannot hold, perhaps
            squares, product = self._widely(distance, theirs)
            self.broken = self.broken or squares == 0.0
        self.squares += squares
        self.product += product
        self.own += own
        if self._measure:
            size = distance.abs()
            self._largest = max(self._largest, float(size.amax()))
            self._total += float(size.sum())

    def spread(self, reference: float) -> Spread | None:
        """How far the elements are apart; ``None`` where that was not followed, and of integers and booleans."""
        if not self._measure or self.exact:
            return None
        count = max(self.elements, 1)
        relative = self.norm / reference if reference else math.inf if self.norm else 0.0
        return Spread(self._largest, self._total / count, self.norm / math.sqrt(count), relative)

    @staticmethod
    def _widely(distance: torch.Tensor, theirs: torch.Tensor) -> tuple[float, float]:
        wide = torch.complex128 if distance.is_complex() else torch.float64
        moved, own = distance.to(wide), theirs.to(wide)
        return _dot(moved, moved), _dot(moved, own)

    @property
    def eps(self) -> float | None:
        """The rounding of a narrower dtype that holds all of the reference's values: they were computed in that.

        ``None`` where there is none, where they are whole, or would fit one narrower still (the 1/16 that each element
        has of a mean's gradient), and so say nothing, or where they are too few to tell.
        """
        if self._whole:
            return None
        told = (one for one, used in self._fits.items() if used * _USED >= self._others)
        return next((rounding(one) for one in told if one is torch.float32 or self.elements >= _TINY), None)

    @property
    def norm(self) -> float:
        """``||d||``; of integers and booleans the share of elements that are others."""
        if self.exact:
            return self.changed / self.elements if self.elements else 0.0
        return math.sqrt(self.squares)

    def gain(self, reference: float) -> float:
        """``|<d,r>/<r,r>|``; 0 where ``r`` is."""
        return abs(self.product) / reference / reference if reference else 0.0


def _dot(one: torch.Tensor, other: torch.Tensor) -> float:
    product = torch.vdot(one, other).real if one.is_complex() else torch.dot(one, other)
    return float(product)


def noise_of(distance: Distance, floor: Floor, factor: float) -> Noise:
    """Both statistics beside their floors; where the norm's bound reaches ``||r||`` the gain says nothing.

    Of integers and booleans no factor allows more than half of what stays in place in the draws to be others.
    """
    if distance.exact and floor.norm:
        factor = min(factor, (1 + floor.norm) / (2 * floor.norm))
    gain = 0.0 if floor.norm * factor >= floor.reference else distance.gain(floor.reference)
    return Noise(distance.norm, floor.norm, gain, floor.gain, factor, floor.unstable)


def verdict_of(noise: Noise, floor: Floor, *, exact: bool) -> Verdict:
    """Within the factor: ``close``, or ``below_noise`` where a value of nothing would have been, too."""
    if noise.ratio > noise.factor:
        return Verdict.DIFFERS
    return Verdict.BELOW_NOISE if not exact and floor.norm * noise.factor >= floor.reference else Verdict.CLOSE


@dataclass(frozen=True, slots=True)
class Measured:
    """By how much one site moved in one draw: a floating site's norm and gain, an exact one's share of changes."""

    site: Site
    exact: bool
    norm: float
    gain: float
    reference: float
    rounding: float
    """``eps * ||r||``, of an update ``eps * ||w||``, and not below what the dtype can tell from nothing: no floor is below it."""
    elements: int
    sums: float
    """The rounding of the dtype that sums are kept in."""


def widening(draws: int) -> float:
    """By how much more than its draws show a few numbers, up to 16, or one may move."""
    return max(1.0, 10 ** (_MILLION / max(draws, 1)) / _COARSE)


def assembled(sites: Iterable[Sequence[Measured]]) -> Iterator[Floor]:
    """The floors of one step's sites, each from its draws, in their order. Sites of one kind are alike.

    The norm's floor is the largest of the draws, and not below rounding. A norm of a few elements, and a gain, which is
    one number whatever the size, can be near zero in all draws by chance. So the first is widened for the number of
    draws, ``10 ** (6 / draws) / 10``: for a correct value that is spread as the draws are, the chance to be above ten of
    their largest is then below one in a million. Under the gain stand what independent rounding of the elements would
    give, ``floor / (||r|| sqrt(n))``, the median of the gains of those of its kind that move, the share of its norm that
    is gain in the median of those, and one unit in the last place of what sums are kept in, float32 or float64: where a
    mean or a variance is off by that, all that it scales is, and nothing averages out. A site that is exactly zero in
    all draws takes the rounding of what is typical for its kind.
    """
    sites = list(sites)
    gains: dict[Kind, list[float]] = {}
    shares: dict[Kind, list[float]] = {}
    scales: dict[Kind, list[float]] = {}
    for draws in sites:
        one, kind = draws[0], draws[0].site.kind
        if not one.exact and one.reference and one.elements:
            scales.setdefault(kind, []).append(one.rounding / math.sqrt(one.elements))
            norm, gain = _largest(draws)
            if 0 < norm < one.reference:
                gains.setdefault(kind, []).append(gain)
                shares.setdefault(kind, []).append(gain * one.reference / norm)
    for draws in sites:
        kind = draws[0].site.kind
        yield _floor(draws, gains.get(kind, []), shares.get(kind, []), scales.get(kind, []))


def _largest(draws: Sequence[Measured]) -> tuple[float, float]:
    return max(one.norm for one in draws), max(one.gain for one in draws)


def _floor(draws: Sequence[Measured], gains: list[float], shares: list[float], scales: list[float]) -> Floor:
    one, (largest, gain) = draws[0], _largest(draws)
    if one.exact:
        return Floor(largest, 0.0, one.reference)
    widened = widening(len(draws))
    norm = max(largest * (widened if one.elements <= _TINY else 1.0), one.rounding)
    if not one.reference:
        typical = median(scales) if scales else 0.0
        return Floor(max(norm, typical * math.sqrt(one.elements)), 0.0, 0.0)
    if len(gains) >= _POOL:
        gain = max(gain, median(gains), median(shares) * norm / one.reference)
    else:
        gain *= widened
    independent = norm / (one.reference * math.sqrt(max(one.elements, 1)))
    return Floor(norm, max(gain, independent, one.sums), one.reference)
