"""Re-recording: what a golden that takes another's place moves, and the line that its history gets for it.

The two are read side by side, one tensor at a time; what has the same digest is not read at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pytest_parity.compare.dtypes import EXACT, rounding
from pytest_parity.compare.floor import Distance, default_factor, noise_of
from pytest_parity.compare.measure import Meter
from pytest_parity.compare.region import Region, match
from pytest_parity.contract.config import config_differences
from pytest_parity.contract.environment import differences
from pytest_parity.errors import UsageError
from pytest_parity.golden.canonical import compact, plain
from pytest_parity.golden.cases import MANIFEST
from pytest_parity.golden.entry import NONE, Entry
from pytest_parity.golden.reader import Golden, torch_dtype
from pytest_parity.report.curves import curve_word
from pytest_parity.result import Moved, SiteMoved
from pytest_parity.session.banded import recorded
from pytest_parity.session.regions import recorded_regions
from pytest_parity.settings import under_ci
from pytest_parity.site import Kind, Site

__all__ = ["ENVIRONMENT", "amended", "check_reason", "lacks_reason", "same_content", "what_moved"]

ENVIRONMENT = "env"
"""The reason that says of itself that nothing but the environment is another."""

_KEPT = 10
"""Sites, losses and changes that are named; the others are counted."""
_VERSIONS = ("pytest-parity", "torch")


def check_reason(case: str, reason: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Raise ``UsageError`` where the reason is the environment, and that of two provenances is the same."""
    if reason == ENVIRONMENT and not _environments(before, after):
        raise UsageError(
            f"the reason {ENVIRONMENT!r} says that the environment of {case} is another, and it is the one that its golden "
            "was recorded in; the golden is untouched. Say what else it was, as in: 'the loss is a mean now'"
        )


def lacks_reason(root: Path, case: str, reason: str) -> bool:
    """Whether a golden would be replaced where nobody looks on, and nothing says why."""
    return under_ci() and not reason and (root / case / MANIFEST).is_file()


def same_content(old: Golden, new: Golden) -> bool:
    """Whether two goldens are the same but for their histories."""
    return _content(old) == _content(new)


def what_moved(old: Golden, new: Golden, *, reason: str = "", factor: float | None = None) -> Moved:
    """Compare a golden with the one that is to take its place; ``factor`` is the noise floor's (default: the dtype's).

    Floors are the old golden's. Where it has none, a distance counts in multiples of rounding, ``eps * ||r||`` (of an
    update ``eps * ||w||``). Raises ``GoldenError`` where one of the two cannot be read.
    """
    counts = dict.fromkeys(("equal", "within", "beyond", "new", "gone", "reshaped"), 0)
    worst: list[SiteMoved] = []
    others: list[str] = []
    for step in sorted({*old.steps, *new.steps}):
        for what, site in _Step(old, new, step, factor).compare():
            if isinstance(site, SiteMoved):
                worst.append(site)
            elif site and len(others) < _KEPT:
                others.append(site)
            counts[what] += 1
    worst.sort(key=lambda site: -site.times)
    return Moved(
        counts={what: count for what, count in counts.items() if count},
        worst=tuple(worst[:_KEPT]),
        losses=tuple(_losses(old, new))[:_KEPT],
        others=tuple(others),
        changes=_changes(old.manifest["provenance"], new.manifest["provenance"])
        | _settings(old.manifest["settings"], new.manifest["settings"]),
        reason=reason,
        curves=tuple(replace(one, lines=()) for one in recorded(old, new)),
    )


def amended(history: list[Any], moved: Moved, provenance: Mapping[str, Any], **further: Any) -> list[Any]:
    """The history with a line for what moved; no times, no names of people or machines."""
    environment = provenance.get("environment", {})
    line = {
        "reason": moved.reason,
        "sites": moved.counts,
        "moved": [_site_line(site) for site in moved.worst],
        "loss": {f"step {step}: {name}": [before, after] for step, name, before, after in moved.losses},
        "others": list(moved.others),
        "curves": {one.name: curve_word(one) for one in moved.curves},
        "changes": {name: list(pair) for name, pair in moved.changes.items()},
        "versions": {name: environment[name] for name in _VERSIONS if name in environment},
        **further,
    }
    return [*history, {name: value for name, value in line.items() if value or name == "reason"}]


def _site_line(site: SiteMoved) -> dict[str, Any]:
    unit = "floors" if site.by_floor else "roundings"
    return {"site": site.site, "step": site.step, "before": site.before, "after": site.after, unit: site.times}


class _Step:
    """One step of two goldens."""

    def __init__(self, old: Golden, new: Golden, step: int, factor: float | None) -> None:
        self._old, self._new, self._number, self._factor = old, new, step, factor
        self._before = _entries(old, step)
        self._after = _entries(new, step)
        self._regions: Mapping[str, Region] = recorded_regions(old, step) or {}
        self._meter = Meter(old)

    def compare(self) -> Iterator[tuple[str, SiteMoved | str]]:
        """What became of each site, as it is counted, with how far it moved or what it is."""
        for site, before in self._before.items():
            after = self._after.get(site)
            if after is None:
                yield "gone", f"step {self._number} {site}: gone"
            elif (before.dtype, before.shape) != (after.dtype, after.shape):
                yield "reshaped", f"step {self._number} {site}: {_form(before)} -> {_form(after)}"
            elif before.digest == after.digest and not self._is_update(site):
                yield "equal", ""
            else:
                yield self._moved(before, after)
        for site in self._after:
            if site not in self._before:
                yield "new", f"step {self._number} {site}: new"

    def _is_update(self, site: Site) -> bool:
        """Whether it is an update whose start is another, so that equal bits are not an equal update."""
        start = Site(Kind.WEIGHT, site.path)
        pair = self._before.get(start), self._after.get(start)
        return site.kind is Kind.UPDATED_WEIGHT and all(pair) and pair[0].digest != pair[1].digest  # type: ignore[union-attr]

    def _moved(self, before: Entry, after: Entry) -> tuple[str, SiteMoved | str]:
        start = Site(Kind.WEIGHT, before.site.path)
        pair = self._before.get(start), self._after.get(start)
        distance = self._distance(before, after, *pair)
        if not (distance.broken or distance.squares or distance.changed):
            return "equal", ""  # but for what is outside of the valid region, or the sign of a zero
        dtype = torch_dtype(before)
        times, by_floor = self._times(before, distance, dtype)
        factor = default_factor(before.dtype) if self._factor is None else self._factor
        values = _values(distance, dtype)
        single = math.prod(before.shape) == 1 and not (dtype.is_complex or dtype in EXACT)
        if single and before.site.kind is not Kind.UPDATED_WEIGHT:
            values = float(self._old.tensor(before)), float(self._new.tensor(after))
        moved = SiteMoved(str(before.site), self._number, *values, times, by_floor, dtype in EXACT)
        return ("within" if times <= factor else "beyond"), moved

    def _distance(self, before: Entry, after: Entry, start: Entry | None, begun: Entry | None) -> Distance:
        value = self._new.tensor(after)
        like = (before.dtype, before.shape)
        if (
            before.site.kind is Kind.UPDATED_WEIGHT
            and start
            and begun
            and like == (start.dtype, start.shape) == _like(begun)
        ):
            found = self._meter.update(before, start, value, self._new.tensor(begun), precise=True)
        else:
            found = self._meter.site(
                before, value, region=match(self._regions, before.site, before.shape), precise=True
            )
        assert found is not None
        return found

    def _times(self, before: Entry, distance: Distance, dtype: torch.dtype) -> tuple[float, bool]:
        noise = self._old.noise
        own = before.site.kind is Kind.UPDATED_WEIGHT
        floor = None if noise is None else noise.of(self._number, before.order, own=own)
        if distance.broken:
            return math.inf, floor is not None
        if floor is not None:
            return noise_of(distance, floor, 1.0).ratio, True
        unit = rounding(dtype) * math.sqrt(distance.weight or distance.own)
        return (distance.norm / unit if unit else math.inf), False


def _entries(golden: Golden, step: int) -> dict[Site, Entry]:
    return {entry.site: entry for entry in golden.entries(step)} if step in golden.steps else {}


def _like(entry: Entry) -> tuple[str, tuple[int, ...]]:
    return entry.dtype, entry.shape


def _form(entry: Entry) -> str:
    return "None" if entry.dtype == NONE else f"{entry.dtype} {list(entry.shape)}"


def _values(distance: Distance, dtype: torch.dtype) -> tuple[float, float]:
    """The norm before, and the one after; of integers and booleans nothing, and the share that changed."""
    if dtype in EXACT:
        return 0.0, distance.norm
    return math.sqrt(distance.own), math.sqrt(max(distance.own + 2 * distance.product + distance.squares, 0.0))


def _losses(old: Golden, new: Golden) -> Iterator[tuple[int, str, float, float]]:
    for step in old.steps:
        before = old.manifest["steps"][str(step)].get("loss", {})
        after = new.manifest["steps"].get(str(step), {}).get("loss", {})
        if isinstance(before, dict) and isinstance(after, dict):
            for name in sorted(before.keys() & after.keys()):
                if plain(before[name], name) != plain(after[name], name):
                    yield step, name, float(before[name]), float(after[name])


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    further = {
        name: (str(before.get(name, "absent")), str(after.get(name, "absent")))
        for name in sorted({*before, *after} - {"environment"})
        if before.get(name) != after.get(name)
    }
    return _environments(before, after) | further


def _settings(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """What the test was set to otherwise; of its configuration the values by dotted key, a few."""
    names = sorted({*before, *after} - {"config"})
    own = {name: (_told(before.get(name)), _told(after.get(name))) for name in names}
    config = config_differences(before.get("config") or {}, after.get("config") or {})[:_KEPT]
    return {name: pair for name, pair in own.items() if pair[0] != pair[1]} | {
        f"config {one.name}": (one.golden, one.here) for one in config
    }


def _told(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "absent" if value is None else str(value)


def _environments(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    return differences(before.get("environment", {}), after.get("environment", {}))


def _content(golden: Golden) -> str:
    return compact(plain({**golden.manifest, "history": [], "digest": ""}, "the manifest"))
