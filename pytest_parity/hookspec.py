"""The hooks that a project may implement, in a ``conftest.py`` or a plugin of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_parity.plugin.results import CaseResult
    from pytest_parity.result import Comparison

__all__ = ["pytest_parity_case", "pytest_parity_compared", "pytest_parity_provenance", "pytest_parity_report"]


@pytest.hookspec(firstresult=True)
def pytest_parity_case(item: pytest.Item) -> str | None:
    """Name the case of a test whose marker names none; ``None`` leaves the name that is made of its path.

    The first implementation that returns a name wins. A case is a relative path with ``/`` between its parts, and
    belongs to one test. Called at collection, for each test that uses the ``parity`` fixture. ::

        def pytest_parity_case(item):
            return f"nightly/{item.name}" if "nightly" in item.keywords else None
    """


@pytest.hookspec
def pytest_parity_provenance(config: pytest.Config) -> Mapping[str, Any] | None:
    """Say what else a golden should tell about its origin: strings, numbers, lists and tables of them.

    Called once per recording process. Several implementations are merged; the one registered last wins. Leave out
    times, hosts and users: recording the same thing twice should give the same bytes. ::

        def pytest_parity_provenance(config):
            return {"nemo": nemo.__version__, "data": "dummy_ssl"}
    """


@pytest.hookspec
def pytest_parity_compared(item: pytest.Item, comparison: Comparison) -> None:
    """See each check's result, passed or failed, in the process that ran the test (a worker, under ``pytest -n``).

    Called while the test is still running, so an exception from here fails it. ::

        def pytest_parity_compared(item, comparison):
            print(comparison.case, comparison.compared, "of", comparison.expected, comparison.counts)
    """


@pytest.hookspec
def pytest_parity_report(config: pytest.Config, results: Sequence[CaseResult]) -> str | Sequence[str] | None:
    """Add lines to the section ``parity`` of the terminal's summary.

    ``results`` has one entry a case, in the order the tests finished: ``nodeid``, ``case``, ``outcome`` (``passed``,
    ``failed`` or ``recorded``), ``comparison``, ``recorded`` and ``message``. Called once, in the main process. ::

        def pytest_parity_report(config, results):
            return [f"{r.case}: {r.comparison.elements} numbers" for r in results if r.comparison]
    """
