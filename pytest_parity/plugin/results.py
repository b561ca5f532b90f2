"""What became of a case, as plain data that travels on the test's own report."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pytest

from pytest_parity.report.power import Power
from pytest_parity.result import Comparison, Recorded

__all__ = ["CaseResult", "attach", "attached"]

_PROPERTIES = pytest.StashKey[list[tuple[str, str]]]()
"""What was added to a test's ``user_properties``."""


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One case's outcome in this run."""

    nodeid: str
    case: str
    outcome: Literal["passed", "failed", "recorded"]
    comparison: Comparison | None = None
    """When checking: what was compared, as far as it is known."""
    recorded: Recorded | None = None
    """When recording."""
    message: str = ""
    """Why it failed, in a line."""
    power: Power | None = None
    """What ``--parity-selftest`` made of it."""
    text: str = ""
    """Why it failed, in full."""

    def properties(self) -> list[tuple[str, str]]:
        """What a JUnit file says of the test: the case, what was compared, sites by verdict, what diverges first."""
        found = {"parity_case": self.case, "parity_outcome": self.outcome}
        comparison = self.comparison
        if comparison is not None:
            found.update(parity_compared=str(comparison.compared), parity_expected=str(comparison.expected))
            found.update({f"parity_{verdict}": str(count) for verdict, count in comparison.counts.items()})
            if comparison.diagnosis is not None:
                found.update(parity_first=comparison.diagnosis.module, parity_site=comparison.diagnosis.site)
            if comparison.failing_curves:
                found.update(parity_curves=", ".join(curve.name for curve in comparison.failing_curves))
        return list(found.items())

    def to_plain(self) -> dict[str, Any]:
        """As dictionaries, lists, strings and numbers only, whatever a scalar was before."""
        plain = {
            "nodeid": self.nodeid,
            "case": self.case,
            "outcome": self.outcome,
            "comparison": self.comparison and self.comparison.to_plain(),
            "recorded": self.recorded and asdict(self.recorded),
            "message": self.message,
            "power": self.power and self.power.to_plain(),
            "text": self.text,
        }
        # A scalar of numpy on a report kills an xdist session, so none gets as far as there.
        found: dict[str, Any] = json.loads(json.dumps(plain, default=_scalar))
        return found

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> CaseResult:
        """The inverse of ``to_plain``."""
        comparison, recorded, power = plain["comparison"], plain["recorded"], plain["power"]
        return cls(
            **{
                **plain,
                "comparison": comparison and Comparison.from_plain(comparison),
                "recorded": recorded and Recorded.from_plain(recorded),
                "power": power and Power.from_plain(power),
            }
        )


def _scalar(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)


def attach(item: pytest.Item, report: pytest.TestReport, result: CaseResult) -> None:
    """Put a result on its test's report, from where xdist takes it to the controller; a JUnit file has its properties."""
    report.__dict__["parity"] = result.to_plain()
    earlier = item.stash.get(_PROPERTIES, [])  # of a test that was run before in this session
    item.stash[_PROPERTIES] = own = result.properties()
    # --junitxml reads them off the report of the teardown, which is made of the item's
    item.user_properties[:] = [*(one for one in item.user_properties if one not in earlier), *own]
    report.user_properties = list(item.user_properties)


def attached(report: pytest.TestReport) -> CaseResult | None:
    """The result on a report, if there is one."""
    plain = report.__dict__.get("parity")
    return None if plain is None else CaseResult.from_plain(plain)
