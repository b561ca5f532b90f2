"""The fixture ``parity``, and those that a project overrides for a directory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_parity.errors import UsageError
from pytest_parity.golden.cases import cases
from pytest_parity.plugin.cases import plan_of
from pytest_parity.plugin.options import OPTIONS, Options
from pytest_parity.plugin.outcome import holding
from pytest_parity.plugin.provenance import provenance
from pytest_parity.plugin.tables import checked_tolerances
from pytest_parity.settings import Mode, Settings

if TYPE_CHECKING:
    from pytest_parity.plugin.cases import Plan
    from pytest_parity.session import Parity

__all__ = ["parity", "parity_names", "parity_seed", "parity_tolerances"]


@pytest.fixture
def parity_tolerances(pytestconfig: pytest.Config) -> Mapping[str, Any]:
    """Tolerances by kind or by pattern of sites, as ``{"gradient": (1e-4, 1e-7)}`` (rtol, atol).

    As it stands, what ``[tool.pytest_parity.tolerances]`` in pyproject.toml says. Override it in a ``conftest.py`` for
    a directory's tests; ``{**parity_tolerances, ...}`` adds to what is above.
    """
    return dict(pytestconfig.stash[OPTIONS].tolerances)


@pytest.fixture
def parity_names() -> Any:
    """The name map, candidate to reference, of tests whose marker has none."""
    return None


@pytest.fixture
def parity_seed(pytestconfig: pytest.Config) -> int:
    """The seed of each case's random streams; as it stands, the ini option ``parity_seed``."""
    return pytestconfig.stash[OPTIONS].seed


@pytest.fixture
def parity(
    request: pytest.FixtureRequest, parity_tolerances: Mapping[str, Any], parity_names: Any, parity_seed: int
) -> Iterator[Parity]:
    """The test's case: records the reference's values, or compares the candidate's with them.

    See ``pytest_parity.Parity`` for what it can do.
    """
    # Torch comes in here, with the first test that needs it.
    from pytest_parity.session import Parity  # noqa: PLC0415

    item = request.node
    plan = plan_of(item)
    held = Parity(_settings(item, plan, parity_tolerances, parity_names, parity_seed))
    with holding(item, held):
        yield held


def _settings(item: pytest.Item, plan: Plan, tolerances: Mapping[str, Any], names: Any, seed: Any) -> Settings:
    options = item.config.stash[OPTIONS]
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise UsageError(f"the fixture parity_seed returned {seed!r}; return a whole number")
    return Settings(
        mode=_mode(options, plan.case),
        case=plan.case,
        root=options.root,
        out=options.out,
        memory=options.memory,
        seed=seed,
        marker=replace(plan.marker, rng=plan.marker.rng or options.rng),
        tolerances=checked_tolerances(tolerances, origin="the fixture parity_tolerances"),
        names=names,
        strict=options.strict,
        provenance=provenance(item.config) if options.recording else {},
    )


def _mode(options: Options, case: str) -> Mode:
    writes = options.record or (options.missing and case not in cases(options.root))
    return Mode.RECORD if writes else Mode.CHECK
