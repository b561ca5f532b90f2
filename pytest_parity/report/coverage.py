"""How much was compared of what was recorded, and what the test excepts by name."""

from __future__ import annotations

from pytest_parity.report.words import amount
from pytest_parity.result import Comparison

__all__ = ["coverage_lines"]


def coverage_lines(comparison: Comparison) -> list[str]:
    """``parameters 64 of 64, module calls 279 of 279, elements 1,234 of 1,234``, then what is ignored, by pattern.

    What a case has none of is left out.
    """
    coverage = comparison.coverage
    pairs = {
        "parameters": (coverage.parameters, coverage.parameters_recorded),
        "module calls": (coverage.calls, coverage.calls_recorded),
        "elements": (comparison.elements, coverage.elements_recorded),
    }
    units = [f"{name} {some:,} of {all_:,}" for name, (some, all_) in pairs.items() if all_]
    if coverage.outside:
        units[-1] += f" ({coverage.outside:,} outside of valid regions)"
    ignored = [f"{pattern!r} {amount(count, 'site')}" for pattern, count in coverage.ignored.items()]
    lines = [", ".join(units)] if units else []
    return [*lines, f"ignored by the test: {', '.join(ignored)}"] if ignored else lines
