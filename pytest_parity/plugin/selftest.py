"""``--parity-selftest``: after a test's check has passed, the same test with faults in its candidate."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from pytest_parity.errors import GoldenNotFound, ParityFailure
from pytest_parity.plugin.options import OPTIONS
from pytest_parity.report.power import Power, power_line

if TYPE_CHECKING:
    from pytest_parity.session.parity import Parity
    from pytest_parity.session.run import Run

__all__ = ["POWER", "check_power", "untested_lines"]

POWER = pytest.StashKey[Power]()
"""What came of a test's self-test."""

_LIVE = Power(refused="it has no golden to be checked against, only live models or none", excused=True)
_CANNOT = Power(
    refused="a test of unittest cannot be run again, nor one that has parity from request.getfixturevalue; "
    "write it as a function, or a plain class, with parity as an argument",
    excused=True,
)


def check_power(item: pytest.Item, parity: Parity, again: Callable[[Run], None] | None) -> None:
    """Try the faults; raises ``ParityFailure`` where one escapes, or none could be tried.

    ``again`` runs the test's body with a run in its check's place; ``None`` where the test cannot be run again.
    """
    from pytest_parity.session.power import Selftest  # noqa: PLC0415  torch

    if not item.config.stash[OPTIONS].selftest or parity.recording:
        return
    try:
        golden = parity.golden
    except GoldenNotFound:
        golden = None
    power = _LIVE if golden is None else _CANNOT
    if again is not None and golden is not None:
        with golden, parity.left_alone():
            power = Selftest(parity.settings, golden, again, item.config.stash[OPTIONS].selftest_limit).run()
    item.stash[POWER] = power
    if not power.passed:
        raise ParityFailure(
            f"{power_line(parity.case, power)}\nWhat was tried, and what caught it: section parity, below"
        )


def untested_lines(powers: list[Power]) -> list[str]:
    """A complaint where no test of the run tried a fault."""
    if any(power.tried for power in powers):
        return []
    return ["--parity-selftest tried no fault: no parity test that ran watches a model and passes"]
