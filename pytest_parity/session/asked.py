"""Asked: one call of ``assert_curve``: what is to be judged, its name, and the seeds that it is trained with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pytest_parity.errors import ToleranceError, UsageError

__all__ = ["Asked", "check_share"]


@dataclass(frozen=True, slots=True)
class Asked:
    """``metrics`` in one of the forms of ``curves_of``, or with ``seeds`` a function of a seed that returns one."""

    name: str
    metrics: Any
    seeds: tuple[int, ...] = ()
    checked: int = 1
    rtol: float | None = None

    @classmethod
    def of(cls, metrics: Any, *, name: str, seeds: Iterable[int] | None, checked: int, rtol: float | None) -> Asked:
        """A call; raises ``UsageError`` where it makes no sense."""
        if not isinstance(name, str) or not name or "/" in (name[0], name[-1]):
            raise UsageError(f"assert_curve(name={name!r}): a curve's name is a word or two: 'loss', 'validation/loss'")
        where = f"assert_curve({name!r})"
        if callable(metrics) is (seeds is None):
            raise UsageError(
                f"{where}: a function that trains comes with the seeds to train with: assert_curve(train, seeds=range(5))"
                if seeds is None
                else f"{where}: seeds= are for a function that trains with one: def train(seed): ... return losses"
            )
        given = () if seeds is None else tuple(seeds)
        if seeds is not None and (not given or len(set(given)) < len(given) or not all(map(_is_whole, given))):
            raise UsageError(f"{where}: seeds={list(given)}: they are whole numbers, each another, and one at least")
        if not _is_whole(checked) or checked < 1:
            raise UsageError(f"{where}: checked={checked!r}: a check trains with the first seed at least")
        check_share(rtol, where)
        return cls(name, metrics, given, checked, rtol)

    @property
    def where(self) -> str:
        """The call, in errors."""
        return f"assert_curve({self.name!r})"

    def labels(self, runs: int) -> list[str]:
        """What each of the runs is called: the curve's name, behind the first with what tells it apart."""
        further = [f"{self.name} (seed {seed})" for seed in self.seeds] or [
            f"{self.name} (run {place + 1})" for place in range(runs)
        ]
        return [self.name, *further[1:runs]]


def check_share(rtol: object, where: str) -> None:
    """Raise ``ToleranceError`` unless it is ``None`` or a share."""
    if rtol is not None and not (isinstance(rtol, (int, float)) and 0 < rtol < 1):
        raise ToleranceError(f"{where}: rtol={rtol!r}: a share of the loss, above 0 and below 1, as in rtol=0.02")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
