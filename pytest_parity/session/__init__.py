"""What a test holds: its mode, the capture, the golden, the comparator."""

from __future__ import annotations

from pytest_parity.session.parity import Parity

__all__ = ["Parity"]
