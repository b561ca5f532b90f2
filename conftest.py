"""What every test of the project shares: pytester, and the rules for tests marked ``gpu``.

Where there is no CUDA device they are skipped. Under ``PARITY_NEED_GPU`` (``tox -e gpu``) they run wherever they are,
and a test or a module that is skipped fails: a machine that was to test the GPU cannot pass without having done so.
That none was collected is an error of pytest's own, exit status 5.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import TypeVar

import pytest

pytest_plugins = ["pytester"]

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


@pytest.fixture(autouse=True)
def _needs_a_gpu(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("gpu") is None or _needed():
        return
    import torch  # noqa: PLC0415

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test marked ``gpu`` that was skipped and must not be."""
    report = yield
    return _insisted(report) if item.get_closest_marker("gpu") else report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail a module that was skipped as a whole: it may hold such tests."""
    return _insisted((yield))


def _insisted(report: Report) -> Report:
    if _needed() and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"PARITY_NEED_GPU is set, and this was skipped: {reason}"
    return report


def _needed() -> bool:
    return bool(os.environ.get("PARITY_NEED_GPU"))
