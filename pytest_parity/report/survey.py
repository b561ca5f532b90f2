"""Survey: two recordings side by side, kind by kind, as plain data: the comparison, and what stands around it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from pytest_parity.result import Comparison, Delta, LossFound, Verdict

__all__ = ["MATCHES", "KindFound", "Survey"]

MATCHES = frozenset({Verdict.EQUAL.value, Verdict.CLOSE.value, Verdict.BELOW_NOISE.value})
"""The verdicts that make a match; what zeros would have passed, too, makes none."""


@dataclass(frozen=True, slots=True)
class KindFound:
    """One kind of sites."""

    kind: str
    sites: int
    """Those of the reference, and what only the candidate has."""
    counts: dict[str, int]
    """By verdict."""
    worst: tuple[Delta, ...] = ()
    """Those that are not equal, the worst first: what fails before what passes; not all of them."""
    moved: int = 0
    """How many are not equal."""

    @property
    def matched(self) -> int:
        """How many match."""
        return sum(count for verdict, count in self.counts.items() if verdict in MATCHES)

    @property
    def rate(self) -> float:
        """The share that matches."""
        return self.matched / self.sites if self.sites else 0.0


@dataclass(frozen=True, slots=True)
class Survey:
    """Two recordings: ``structure`` counts their parameters (``contract.common.Common`` as a table), if any are known."""

    reference: str
    candidate: str
    reference_steps: tuple[int, ...]
    candidate_steps: tuple[int, ...]
    comparison: Comparison
    structure: dict[str, Any] = field(default_factory=dict)
    kinds: tuple[KindFound, ...] = ()
    outputs: tuple[Delta, ...] = ()
    losses: tuple[LossFound, ...] = ()

    def to_plain(self) -> dict[str, Any]:
        """As dictionaries, lists, strings and numbers only."""
        plain = asdict(self, dict_factory=_plain)
        for one, found in zip(plain["kinds"], self.kinds, strict=True):
            one.update(matched=found.matched, rate=found.rate)
        return {"passed": self.comparison.passed, **plain}


def _plain(items: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value.value if isinstance(value, Enum) else value for name, value in items}
