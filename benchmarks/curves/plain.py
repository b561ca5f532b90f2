"""Plain: two comparisons as test suites have them, each with 5 %."""

from __future__ import annotations

import numpy as np

from pytest_parity.curves.curve import Curve

__all__ = ["each_step", "final"]

RTOL = 0.05
LAST = 30


def each_step(curve: Curve, recorded: Curve) -> bool:
    """``not any(abs(a - b) > 0.05 * abs(b) for a, b in zip(losses, golden))``."""
    pairs = zip(curve.step_losses.tolist(), recorded.step_losses.tolist(), strict=False)
    return not any(abs(a - b) > RTOL * abs(b) for a, b in pairs)


def final(curve: Curve, recorded: Curve) -> bool:
    """The mean of the last 30 losses."""
    ours, theirs = (float(np.mean(one.step_losses[-LAST:])) for one in (curve, recorded))
    return not abs(ours - theirs) > RTOL * abs(theirs)
