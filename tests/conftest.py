"""Fixtures of the tests that record and check without pytest in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from parity_studio import Studio

from pytest_parity.diagnose.hints import trial
from pytest_parity.session import explaining


@pytest.fixture(autouse=True, scope="session")
def _patience() -> Iterator[None]:
    """What a hint may take is bounded; on a busy machine that would decide what a test sees."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((trial, "_SECONDS"), (trial, "_WAITED"), (explaining, "_SECONDS")):
            patch.setattr(module, name, 600.0)
        yield


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    return Studio(tmp_path)
