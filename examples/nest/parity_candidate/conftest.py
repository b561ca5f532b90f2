"""The golden of nest/tiny, for tests that look into it or check against it more than once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_parity import Golden
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
