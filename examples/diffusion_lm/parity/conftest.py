"""Threads, and sessions on cases that more than one test checks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_cases import OpenSession

from pytest_parity import Parity
from pytest_parity.plugin.options import OPTIONS
from pytest_parity.settings import MarkerOptions, Mode, Settings

THREADS = int(os.environ.get("LM_THREADS", "1"))
"""One, as the goldens were recorded: how torch splits a sum over threads changes its last bits."""


@pytest.fixture(autouse=True, scope="session")
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def session(pytestconfig: pytest.Config, tmp_path: Path) -> Iterator[OpenSession]:
    """Open what a test has as `parity`, for a case that another test records, or that is this test's own in `root`."""
    opened: list[Parity] = []

    def begin(case: str, *, mode: Mode = Mode.CHECK, root: Path | None = None, **marker: Any) -> Parity:
        where = pytestconfig.stash[OPTIONS].root if root is None else root
        settings = Settings(mode=mode, case=case, root=where, out=tmp_path / "out", marker=MarkerOptions(**marker))
        opened.append(Parity(settings))
        return opened[-1]

    yield begin
    for parity in opened:
        parity.abandon()
