"""The golden of nest/tiny, for tests that look into it or check against it more than once; and a check kept as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_parity import Comparison, Golden
from pytest_parity.plugin.options import OPTIONS


@pytest.fixture
def goldens(pytestconfig: pytest.Config) -> Path:
    """Where `--parity-ref` says that the goldens are."""
    return pytestconfig.stash[OPTIONS].root


@pytest.fixture
def golden(goldens: Path) -> Iterator[Golden]:
    """The golden itself."""
    with Golden.find(goldens, "nest/tiny") as found:
        yield found


def pytest_parity_compared(comparison: Comparison) -> None:
    """Keep what a check found where NEST_SAVE says, for `parity consistency --check`."""
    if path := os.environ.get("NEST_SAVE"):
        Path(path).write_text(json.dumps(comparison.to_plain()), encoding="utf-8")
