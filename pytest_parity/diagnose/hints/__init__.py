"""Hints: what, in closed form, would make a faulty place agree; each is tested on the data before it is told."""

from __future__ import annotations

from pytest_parity.diagnose.hints.forward import forward_hints

__all__ = ["forward_hints"]
