"""The pytest plugin: what of pytest-parity a person meets in a test run.

Nothing here imports torch, so that a run without parity tests, ``pytest --version`` and the controller of pytest-xdist
never do. In the order of a run:

================  ====================================================================================
``options``       command line, ini file and environment, resolved once
``cases``         at collection: markers read, each test given its case, ``--parity-case``
``fixtures``      ``parity``, and the fixtures that a project overrides
``outcome``       a body that passed is concluded, another abandoned; the report
``controller``    the results of all tests, the summary, ``--parity-strict`` (``complaints``)
``reporting``     the files of ``--parity-report``, GitHub's annotations and summary
``html_link``     a link from pytest-html's report to ours
================  ====================================================================================
"""

from __future__ import annotations

import pytest

from pytest_parity import hookspec
from pytest_parity.errors import UsageError
from pytest_parity.plugin.cases import CASES, Cases, pytest_collection_modifyitems, pytest_make_collect_report
from pytest_parity.plugin.controller import Controller
from pytest_parity.plugin.fixtures import (
    parity,
    parity_config,
    parity_config_source,
    parity_names,
    parity_seed,
    parity_tolerances,
    pytest_runtest_setup,
)
from pytest_parity.plugin.html_link import register_html_link
from pytest_parity.plugin.marker import SIGNATURE
from pytest_parity.plugin.options import OPTIONS, Options, is_worker, named_profile, pytest_addoption
from pytest_parity.plugin.outcome import (
    pytest_report_teststatus,
    pytest_runtest_call,
    pytest_runtest_makereport,
    pytest_runtest_teardown,
)
from pytest_parity.plugin.reporting import Reporting
from pytest_parity.plugin.rerun import pytest_fixture_setup, pytest_pyfunc_call
from pytest_parity.plugin.switches import SWITCHES, Switches, export_early

__all__ = [
    "parity",
    "parity_config",
    "parity_config_source",
    "parity_names",
    "parity_seed",
    "parity_tolerances",
    "pytest_addhooks",
    "pytest_addoption",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_fixture_setup",
    "pytest_load_initial_conftests",
    "pytest_make_collect_report",
    "pytest_pyfunc_call",
    "pytest_report_teststatus",
    "pytest_runtest_call",
    "pytest_runtest_makereport",
    "pytest_runtest_setup",
    "pytest_runtest_teardown",
    "pytest_sessionfinish",
]


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Let projects implement the hooks of ``hookspec``."""
    pluginmanager.add_hookspecs(hookspec)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Set the variables of the profile that was named, before a conftest imports torch."""
    try:
        export_early(named_profile(early_config), early_config)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from error


def pytest_configure(config: pytest.Config) -> None:
    """Resolve the options; a wrong one ends the run here, with exit status 4."""
    config.addinivalue_line("markers", f"{SIGNATURE}: the test's case, and how it is compared")
    try:
        config.stash[OPTIONS] = Options.of(config)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[CASES] = Cases()
    options = config.stash[OPTIONS]
    config.stash[SWITCHES] = switches = Switches(config, options.profiles, options.profile)
    config.pluginmanager.register(switches, "parity-switches")
    if not is_worker(config):
        controller = Controller(config)
        config.pluginmanager.register(controller, "parity-controller")
        config.pluginmanager.register(Reporting(config, controller), "parity-reporting")
        register_html_link(config)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the controller which cases there are, where this is a worker of pytest-xdist."""
    if is_worker(session.config):
        workeroutput: dict[str, object] = session.config.workeroutput  # type: ignore[attr-defined]
        workeroutput["parity_cases"] = sorted(session.config.stash[CASES].owners)
