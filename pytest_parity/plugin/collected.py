"""For ``parity prune``: tells in a file which cases the tests have. Loaded with ``-p``, beside the plugin itself."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from pathlib import Path

import pytest

from pytest_parity.plugin.cases import CASES
from pytest_parity.plugin.complaints import covers_everything
from pytest_parity.plugin.options import OPTIONS
from pytest_parity.plugin.text import shortened

__all__ = ["pytest_configure", "pytest_ignore_collect", "pytest_make_collect_report", "pytest_sessionfinish"]

_UNSEEN: pytest.StashKey[list[str]] = pytest.StashKey()


def pytest_configure(config: pytest.Config) -> None:
    """Begin with nothing unseen."""
    config.stash[_UNSEEN] = []


@pytest.hookimpl(wrapper=True)
def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> Generator[None, bool | None, bool | None]:
    """Note what a conftest leaves out, as some do where there is no GPU; what pytest itself never enters has no tests."""
    ignored = yield
    if ignored and not _never_entered(collection_path, config.getini("norecursedirs")):
        config.stash[_UNSEEN].append(str(collection_path))
    return ignored


def _never_entered(path: Path, patterns: list[str]) -> bool:
    if path.is_file():
        return path.suffix != ".py"
    environment = any((path / name).exists() for name in ("pyvenv.cfg", "conda-meta"))
    return environment or path.name == "__pycache__" or any(path.match(pattern) for pattern in patterns)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Note what is skipped or fails as a whole: any golden may be one of its tests'."""
    report = yield
    if not report.passed:
        collector.config.stash[_UNSEEN].append(report.nodeid)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the file that the environment names."""
    config = session.config
    if OPTIONS not in config.stash:
        return
    gaps = []
    if not covers_everything(config):
        gaps.append("these arguments leave tests out")
    unseen = config.stash[_UNSEEN]
    if unseen:
        gaps.append(f"left out, skipped or failed as a whole: {shortened(unseen)}")
    told = {"root": str(config.stash[OPTIONS].root), "cases": sorted(config.stash[CASES].owners), "gaps": gaps}
    Path(os.environ["PARITY_COLLECTED"]).write_text(json.dumps(told), encoding="utf-8")
