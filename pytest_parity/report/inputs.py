"""An input in a line: its name, dtype and shape, and its values where they are few."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["flaky_lines", "input_line", "smallest_lines"]

_SHOWN = 8


def input_line(name: str, dtype: str, shape: Sequence[int], values: Sequence[object], total: int) -> str:
    """``x: float32 (2, 3) [1.0, 0.0, 0.0, ...]``; ``values`` are the first few of ``total``, in row-major order."""
    shown = [_number(value) for value in values[:_SHOWN]]
    more = ["..."] if total > len(shown) else []
    size = f"({', '.join(map(str, shape))})"
    return f"{name}: {dtype} {size} [{', '.join([*shown, *more])}]"


def smallest_lines(lines: Sequence[str], examples: int) -> tuple[str, ...]:
    """The heading of a drawn input that fails, and a line for each part of it."""
    heading = f"the smallest input found on which the two disagree (of {examples:,} tried):"
    return (heading, *(f"  {line}" for line in lines))


def flaky_lines(lines: Sequence[str]) -> tuple[str, ...]:
    """What is said of a drawn input on which two models disagreed once, and agreed when it was tried again."""
    heading = (
        "on one input the two disagreed at one time and agreed at another, from the same weights and seeds: one of "
        "them keeps something outside of the model, or draws from a generator of its own. The input:"
    )
    return (heading, *(f"  {line}" for line in lines))


def _number(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
