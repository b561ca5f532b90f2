"""A search for a cause ends, whatever it finds."""

from __future__ import annotations

import pytest
import torch

from pytest_parity.diagnose.hints import forward_hints, trial
from pytest_parity.diagnose.specimen import Specimen
from pytest_parity.result import Part

ONE = torch.randn(64, 32, generator=torch.Generator().manual_seed(0))


def one() -> Specimen:
    """Half of what it should be."""
    return Specimen(Part.HANDED, None, "block", ONE, 2 * ONE, 1e-6 * float(ONE.norm()))


def test_a_search_whose_time_is_up_gives_no_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    assert forward_hints(one())
    monkeypatch.setattr(trial, "_SECONDS", -1.0)
    assert forward_hints(one()) == ()
