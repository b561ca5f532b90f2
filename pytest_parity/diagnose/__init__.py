"""From deltas to a cause: which module went wrong first."""

from __future__ import annotations

from pytest_parity.diagnose.character import characterise
from pytest_parity.diagnose.first import first_divergence

__all__ = ["characterise", "first_divergence"]
