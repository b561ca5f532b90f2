"""Table: what was seen, counted and printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.verdicts.table import printed
from pytest_parity.result.curve import CurveComparison

__all__ = ["Results", "Seen", "missed", "summary", "tables"]


@dataclass(frozen=True)
class Seen:
    """One curve held against a regime's recorded ones."""

    regime: str
    name: str
    comparison: CurveComparison
    each_step: bool
    """Whether the plain comparison of each step passes."""
    final: bool
    """Whether that of the last losses does."""
    shown: float = float("inf")
    demanded: bool = True
    """Whether the rule says that it can be told."""


@dataclass
class Results:
    """Everything."""

    damaged: list[Seen] = field(default_factory=list)
    benign: list[Seen] = field(default_factory=list)


def tables(results: Results) -> None:
    """Damaged curves, then benign ones."""
    for regime in dict.fromkeys(one.regime for one in results.damaged):
        rows = [
            _damaged([one for one in results.damaged if (one.regime, one.name) == (regime, name)])
            for name in dict.fromkeys(one.name for one in results.damaged if one.regime == regime)
        ]
        header = ("damage", "demanded", "caught", "said first", "at step", "also", "each step in 5 %", "final in 5 %")
        printed(f"Damaged, {regime}", header, rows)
    for regime in dict.fromkeys(one.regime for one in results.benign):
        seen = [one for one in results.benign if one.regime == regime]
        columns = ("rerun", "verdict", "nearest check", "of what is allowed", "each step in 5 %", "final in 5 %")
        printed(f"Benign, {regime}", columns, [_benign(one) for one in seen])


def _damaged(seen: Sequence[Seen]) -> tuple[object, ...]:
    """Of the fresh run and of a recorded one."""
    first = seen[0].comparison.findings
    least = min(one.shown for one in seen)
    demanded = (
        "yes" if least == float("inf") else f"{'yes' if all(one.demanded for one in seen) else 'no'}, {least:.3g}"
    )
    others = dict.fromkeys(str(one.check) for one in first[1:])
    return (
        seen[0].name,
        demanded,
        f"{sum(not one.comparison.passed for one in seen)} of {len(seen)}",
        str(first[0].check) + (f" ({first[0].detail})" if first[0].detail else "") if first else "",
        first[0].step if first else "",
        ", ".join(others),
        _passes(sum(one.each_step for one in seen), len(seen)),
        _passes(sum(one.final for one in seen), len(seen)),
    )


def _benign(one: Seen) -> tuple[object, ...]:
    found = one.comparison
    verdict = "passed" if found.passed else "; ".join(f"{f.check} at {f.step}: {f.share:.2f}" for f in found.findings)
    nearest = "bit for bit" if found.equal else found.nearest
    share = "" if found.equal else f"{found.share:.2f}"
    return one.name, verdict, nearest, share, _passes(one.each_step, 1), _passes(one.final, 1)


def _passes(count: int, total: int) -> str:
    return "passes" if count == total else "fails" if not count else f"passes {count} of {total}"


def summary(results: Results, seconds: float) -> dict[str, int]:
    """The last line."""
    demanded = [one for one in results.damaged if one.demanded]
    beyond = [one for one in results.damaged if not one.demanded]
    return {
        "damaged": len(demanded),
        "caught": sum(not one.comparison.passed for one in demanded),
        "kinds": len({one.name for one in demanded}),
        "not_demanded": len(beyond),
        "of_these_caught": sum(not one.comparison.passed for one in beyond),
        "benign": len(results.benign),
        "passed": sum(one.comparison.passed for one in results.benign),
        "each_step_caught": sum(not one.each_step for one in demanded),
        "each_step_passed": sum(one.each_step for one in results.benign),
        "final_caught": sum(not one.final for one in demanded),
        "final_passed": sum(one.final for one in results.benign),
        "seconds": round(seconds),
    }


def missed(figures: dict[str, int]) -> list[str]:
    """The bounds that are missed."""
    held = {
        "every damaged curve that can be told is caught": figures["caught"] == figures["damaged"],
        "every benign rerun passes": figures["passed"] == figures["benign"],
    }
    return [bound for bound, holds in held.items() if not holds]
