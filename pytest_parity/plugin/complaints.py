"""What is wrong with a run as a whole: goldens that no test uses, drift, a ``--parity-case`` that means no case."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from pytest_parity.plugin.cases import matches
from pytest_parity.plugin.results import CaseResult
from pytest_parity.plugin.text import nearest, quoted, shortened
from pytest_parity.report.environment import difference_words

__all__ = ["covers_everything", "drift_lines", "idle_lines", "stale_lines", "unmatched_lines"]


def covers_everything(config: pytest.Config) -> bool:
    """Whether every test of the project was collected: no paths on the command line but those that hold them all."""
    option = config.option
    if option.ignore or option.ignore_glob or getattr(option, "lf", False) or option.pyargs:
        return False
    if config.args_source is not config.ArgsSource.ARGS:
        return config.args_source is config.ArgsSource.TESTPATHS or config.invocation_params.dir == config.rootpath
    named = [(config.invocation_params.dir / argument).resolve() for argument in config.args]
    whole = [(config.rootpath / path).resolve() for path in config.getini("testpaths")] or [config.rootpath.resolve()]
    return all(any(place.is_relative_to(path) for path in named) for place in whole)


def stale_lines(root: Path, stale: set[str]) -> list[str]:
    """A line for each golden that no test uses."""
    return [
        f"stale golden: no test has the case {case!r}; give it one, or remove {root / case}" for case in sorted(stale)
    ]


def unmatched_lines(globs: tuple[str, ...], cases: set[str]) -> list[str]:
    """A line for each ``--parity-case`` that means none of the cases collected."""
    there = f"there are: {shortened(sorted(cases))}" if cases else "no test that was collected has one"
    return [
        f"--parity-case {glob} means no case{nearest(glob, cases)}; {there}"
        for glob in globs
        if not any(matches(case, (glob,)) for case in cases)
    ]


def idle_lines(patterns: tuple[str, ...], results: Iterable[CaseResult], cases: set[str]) -> list[str]:
    """A line for each pattern of the ini option parity_ignore that no case has a site for; none of a partial run."""
    checked = {result.case: result.comparison for result in results if result.outcome == "passed" and result.comparison}
    if not checked or cases - set(checked):
        return []
    used = {pattern for comparison in checked.values() for pattern in comparison.coverage.ignored}
    return [
        f"ini option parity_ignore: {pattern!r} matches no site of any case; remove it"
        for pattern in patterns
        if pattern not in used
    ]


def drift_lines(results: Iterable[CaseResult]) -> list[str]:
    """A line for each case whose golden was recorded in another environment, or with other settings."""
    differing = [(r.case, difference_words(r.comparison)) for r in results if r.comparison is not None]
    return [
        f"environment drift: {case}: {quoted(words)}; record it again here, or check it there"
        for case, words in differing
        if words
    ]
