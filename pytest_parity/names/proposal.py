"""What a proposed name map is: pairs with what speaks for them, ties, and what has no counterpart, as plain data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pytest_parity.names.expression import Expression
from pytest_parity.names.rule import Target

__all__ = ["Match", "Proposal", "Tie"]


@dataclass(frozen=True, slots=True)
class Match:
    """A tensor of the candidate and what it is; ``why`` in words, ``proved`` where its content says so."""

    candidate: str
    target: Target
    why: str
    proved: bool = True

    @property
    def leaves(self) -> tuple[str, ...]:
        """The reference's tensors in it."""
        return tuple(self.target.leaves()) if isinstance(self.target, Expression) else (self.target,)

    def to_plain(self) -> dict[str, Any]:
        """As JSON holds it."""
        target = self.target.to_plain() if isinstance(self.target, Expression) else self.target
        return {"candidate": self.candidate, "reference": target, "why": self.why}


@dataclass(frozen=True, slots=True)
class Tie:
    """Tensors of equal content that nothing tells apart."""

    candidate: tuple[str, ...]
    reference: tuple[str, ...]
    what: str
    """``all 0.0, float32 (8,)``, or another description of what they hold."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A name map as far as it could be found; every tensor of the candidate is in one of the four."""

    matches: tuple[Match, ...]
    ties: tuple[Tie, ...]
    candidate: tuple[str, ...]
    """Tensors of the candidate without any counterpart."""
    reference: tuple[str, ...]
    """And of the reference."""

    @property
    def proved(self) -> tuple[Match, ...]:
        """Those that the content proves."""
        return tuple(match for match in self.matches if match.proved)

    @property
    def guesses(self) -> tuple[Match, ...]:
        """Those that shape and order speak for, and no more."""
        return tuple(match for match in self.matches if not match.proved)

    @property
    def complete(self) -> bool:
        """Whether everything is proved and nothing is left."""
        return not (self.guesses or self.ties or self.candidate or self.reference)

    def unsettled(self) -> Iterator[str]:
        """The candidate's tensors that a rule for others must not catch by the way."""
        yield from (match.candidate for match in self.guesses)
        yield from (name for tie in self.ties for name in tie.candidate)
        yield from self.candidate
