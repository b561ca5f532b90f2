"""What became of a case, as plain data that travels on the test's own report."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pytest

from pytest_parity.report.power import Power
from pytest_parity.result import Comparison, Recorded

__all__ = ["CaseResult", "attach", "attached"]


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


def attach(report: pytest.TestReport, result: CaseResult) -> None:
    """Put a result on its test's report, from where xdist takes it to the controller."""
    report.__dict__["parity"] = result.to_plain()


def attached(report: pytest.TestReport) -> CaseResult | None:
    """The result on a report, if there is one."""
    plain = report.__dict__.get("parity")
    return None if plain is None else CaseResult.from_plain(plain)
