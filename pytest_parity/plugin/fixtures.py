"""The fixture ``parity``, and those that a project overrides for a directory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from unittest import TestCase

import pytest

from pytest_parity.errors import UsageError
from pytest_parity.golden.cases import cases
from pytest_parity.plugin.cases import is_planned, plan_of
from pytest_parity.plugin.config import overridden, plain_config, read_config
from pytest_parity.plugin.options import OPTIONS, Options
from pytest_parity.plugin.outcome import AGAIN, holding
from pytest_parity.plugin.provenance import provenance
from pytest_parity.plugin.rerun import remember
from pytest_parity.plugin.switches import SWITCHES
from pytest_parity.plugin.tables import checked_tolerances
from pytest_parity.settings import Mode, Settings

if TYPE_CHECKING:
    from pytest_parity.plugin.cases import Plan
    from pytest_parity.session.parity import Parity

__all__ = ["parity", "parity_config", "parity_config_source", "parity_names", "parity_seed", "parity_tolerances"]


@pytest.fixture
def parity_tolerances(pytestconfig: pytest.Config) -> Mapping[str, Any]:
    """Tolerances by kind or by pattern of sites, as ``{"gradient": (1e-4, 1e-7)}`` (rtol, atol).

    As it stands, what ``[tool.pytest_parity.tolerances]`` in pyproject.toml says, and over it the profile. Override it
    in a ``conftest.py`` for a directory's tests; ``{**parity_tolerances, ...}`` adds to what is above.
    """
    return {**pytestconfig.stash[OPTIONS].tolerances, **pytestconfig.stash[SWITCHES].profile().tolerances}


@pytest.fixture
def parity_config_source(pytestconfig: pytest.Config) -> Any:
    """Where ``parity_config`` comes from: the path of a YAML file, a dict, or a ``DictConfig``; ``None``: nowhere.

    As it stands, the file of the ini option ``parity_config``. Override it in a ``conftest.py`` for a directory's tests.
    """
    return pytestconfig.stash[OPTIONS].config


_OVERRIDDEN = pytest.StashKey[bool]()
"""``--parity-set`` was applied to the test's configuration."""


@pytest.fixture
def parity_config(request: pytest.FixtureRequest, parity_config_source: Any) -> Any:
    """The configuration of a test: a ``DictConfig`` under the overrides of ``--parity-set``, or ``None``.

    It goes into the golden, and what a check's says otherwise is listed beside a failure.
    """
    request.node.stash[_OVERRIDDEN] = True
    return _config(parity_config_source, "the fixture parity_config_source", request.config.stash[OPTIONS])


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
    request: pytest.FixtureRequest,
    parity_tolerances: Mapping[str, Any],
    parity_names: Any,
    parity_seed: int,
    parity_config: Any,
) -> Iterator[Parity]:
    """The test's case: records the reference's values, or compares the candidate's with them.

    See ``pytest_parity.Parity`` for what it can do.
    """
    # Torch comes in here, with the first test that needs it.
    from pytest_parity.session.parity import Parity  # noqa: PLC0415

    item = request.node
    plan = plan_of(item)
    item.config.stash[SWITCHES].on()  # of a test that asks for the fixture by getfixturevalue
    settings = _settings(item, plan, parity_tolerances, parity_names, parity_seed)
    held = Parity(replace(settings, config=_recorded_config(item, parity_config)), item.stash.get(AGAIN, None))
    with holding(item, held):
        yield held


def _settings(item: pytest.Item, plan: Plan, tolerances: Mapping[str, Any], names: Any, seed: Any) -> Settings:
    options = item.config.stash[OPTIONS]
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise UsageError(f"the fixture parity_seed returned {seed!r}; return a whole number")
    mode = _mode(options, plan.case)
    if mode is Mode.RECORD:
        _check_reasoned(options, plan.case)
    return Settings(
        mode=mode,
        case=plan.case,
        root=options.root,
        out=options.out,
        memory=options.memory,
        seed=seed,
        marker=replace(plan.marker, rng=plan.marker.rng or options.rng),
        tolerances=checked_tolerances(tolerances, origin="the fixture parity_tolerances"),
        names=names,
        strict=options.strict,
        profile=item.config.stash[SWITCHES].profile().name,
        allow_dtype=item.config.stash[SWITCHES].profile().allow_dtype,
        draws=options.draws,
        probe=options.probe,
        factor=options.factor,
        ignore=options.ignore,
        coverage=options.coverage,
        reason=options.reason,
        collect=options.collect,
        detail=bool(options.reports or options.sinks),
        provenance=provenance(item.config) if options.recording else {},
    )


def _config(source: Any, said: str, options: Options) -> Any:
    if source is not None:
        return overridden(read_config(source, said), options.overrides)
    if options.overrides:
        raise UsageError(
            f"--parity-set {options.overrides[0].key}: this test has no configuration to set that in; give it one by the "
            "ini option parity_config = conf.yaml, or by the fixture parity_config_source"
        )
    return None


def _recorded_config(item: pytest.Item, config: Any) -> Mapping[str, Any] | None:
    """What the test's configuration is, also where a project has a fixture ``parity_config`` of its own."""
    overrides = item.config.stash[OPTIONS].overrides
    if overrides and _OVERRIDDEN not in item.stash:
        raise UsageError(
            f"--parity-set {overrides[0].key}: the project's fixture parity_config takes the place of the one that applies "
            "it; override the fixture parity_config_source instead, with the same value"
        )
    return None if config is None else plain_config(read_config(config, "the fixture parity_config"))


def _check_reasoned(options: Options, case: str) -> None:
    """Where nobody looks on, no golden is replaced without a reason; one that does not exist yet needs none."""
    from pytest_parity.session.rerecording import lacks_reason  # noqa: PLC0415

    if lacks_reason(options.root, case, options.reason):
        raise UsageError(
            f"{case} has a golden in {options.root}, and under CI it is not recorded again without a reason, which goes "
            "into its history: --parity-reason 'the loss is a mean now'. To record only what is not there yet: "
            "--parity-record-missing; elsewhere: --parity-ref DIR"
        )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before anything of a test is set up that will be run again: keep what its further runs begin with."""
    options = item.config.stash[OPTIONS]
    if not is_planned(item) or issubclass(getattr(item, "cls", None) or int, TestCase):
        return
    recording = options.recording and _mode(options, plan_of(item).case) is Mode.RECORD
    if options.selftest or (recording and options.draws):
        remember(item)
    elif not recording and options.isolate != "never" and not item.config.getoption("usepdb"):
        remember(item, state=False)


def _mode(options: Options, case: str) -> Mode:
    writes = options.record or (options.missing and case not in cases(options.root))
    return Mode.RECORD if writes else Mode.CHECK
