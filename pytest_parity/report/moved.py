"""What another golden in a golden's place moved, as a few lines: the counts, the losses, the sites that moved farthest."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_parity.report.curves import curve_headline, curve_word
from pytest_parity.report.words import amount, elided, number, pair
from pytest_parity.result import Moved, SiteMoved

__all__ = ["moved_lines"]

_SHOWN = 5
_WIDEST = 60
_WORDS = {
    "equal": "equal",
    "within": "moved within the noise",
    "beyond": "moved beyond it",
    "new": "new",
    "gone": "gone",
    "reshaped": "of another shape or dtype",
}


def moved_lines(moved: Moved | None) -> list[str]:
    """The lines, indented to stand below a case's; none where there was no golden before."""
    return [] if moved is None else [f"  {line}" for line in _lines(moved)]


def _lines(moved: Moved) -> Iterator[str]:
    if set(moved.counts) <= {"equal"} and (moved.counts or not moved.curves):
        sites = f"{amount(moved.counts.get('equal', 0), 'site')} equal to the golden that was there"
        yield sites if any(curve_word(curve) != "equal" for curve in moved.curves) else f"nothing moved: {sites}"
    elif moved.counts:
        counts = [f"{count:,} {_WORDS[what]}" for what, count in moved.counts.items()]
        yield f"in place of the golden that was there: {', '.join(counts)}"
    for step, name, before, after in moved.losses[:_SHOWN]:
        yield f"{name} of step {step}: {' -> '.join(pair(before, after))}"
    yield from _curves(moved)
    yield from _sites(moved)
    yield from moved.others[:_SHOWN]
    changed = sum(moved.counts.get(what, 0) for what in ("new", "gone", "reshaped"))
    if changed > _SHOWN:
        yield f"and {changed - _SHOWN:,} more"
    if moved.changes:
        changes = (f"{name} {before} -> {after}" for name, (before, after) in moved.changes.items())
        yield f"changed besides: {'; '.join(changes)}"
    if moved.reason:
        yield f"reason: {moved.reason}"


def _curves(moved: Moved) -> Iterator[str]:
    """The training curves, each by what is there now."""
    for curve in moved.curves:
        word = curve_word(curve)
        yield f"curve {curve.name}: {word}" if word in {"equal", "new", "gone"} else f"curve {curve_headline(curve)}"


def _sites(moved: Moved) -> Iterator[str]:
    """The sites that moved farthest, aligned."""
    shown = moved.worst[:_SHOWN]
    several = len({site.step for site in moved.worst}) > 1
    names = [elided(f"step {site.step} {site.site}" if several else site.site, _WIDEST) for site in shown]
    width = max(map(len, names), default=0)
    for name, site in zip(names, shown, strict=True):
        yield f"{name.ljust(width)}  {_how_far(site)}"
    more = sum(moved.counts.get(what, 0) for what in ("within", "beyond")) - len(shown)
    if more > 0:
        yield f"and {more:,} more"
    if any(not (site.by_floor or site.exact) for site in moved.worst):
        yield "(a rounding is the dtype's eps times the norm: those sites had no noise floor)"


def _how_far(site: SiteMoved) -> str:
    unit = "noise floors" if site.by_floor else "roundings"
    times = "any number of" if site.times == float("inf") else number(site.times)
    if site.exact:
        share = f"{100 * site.after:.3g} % of its elements are others"
        return share if site.times == float("inf") else f"{times} {unit}, {share}"
    before, after = pair(site.before, site.after)
    return f"{times} {unit}, {before} -> {after}"
