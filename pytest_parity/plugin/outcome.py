"""From a test's body to its outcome: ``finish`` after one that passed, ``abandon`` after any other, and the report."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from pytest_parity.errors import ParityError, ParityFailure
from pytest_parity.plugin.options import OPTIONS
from pytest_parity.plugin.rerun import RERUNNER
from pytest_parity.plugin.results import CaseResult, attach
from pytest_parity.plugin.selftest import POWER, check_power
from pytest_parity.report import failure_text
from pytest_parity.result import Comparison, Recorded

if TYPE_CHECKING:
    from pytest_parity.plugin.rerun import Rerunner
    from pytest_parity.session.parity import Parity
    from pytest_parity.session.run import Run

__all__ = [
    "AGAIN",
    "holding",
    "pytest_report_teststatus",
    "pytest_runtest_call",
    "pytest_runtest_makereport",
    "pytest_runtest_teardown",
]

_PARITY = pytest.StashKey["Parity"]()
"""What the test holds."""
AGAIN = pytest.StashKey["Run"]()
"""While a test is run again for the noise floor: the run that takes the recording's place."""
_REPEATED = pytest.StashKey["Parity"]()
"""What it holds then, until its body ends: its teardown comes when other things have the generators."""
_CONCLUSION = pytest.StashKey[Comparison | Recorded | None]()
"""What came of it: a comparison as far as it got, a recording, or nothing."""


@contextmanager
def holding(item: pytest.Item, parity: Parity) -> Iterator[None]:
    """From the fixture's set-up to its teardown, the report made in between; a test that is run again starts anew."""
    if AGAIN in item.stash:
        item.stash[_REPEATED] = parity
        yield
        return
    item.stash[_PARITY] = parity
    _forget(item)
    try:
        yield
    finally:
        if (
            AGAIN not in item.stash
        ):  # else it is the first run's fixtures that make room, and its parity is concluded later
            _put_away(item, parity)


def _put_away(item: pytest.Item, parity: Parity) -> None:
    # Where another fixture failed after this one there was no call to conclude it in.
    _abandon(item, parity, "teardown")
    del item.stash[_PARITY]
    _forget(item)


def _forget(item: pytest.Item) -> None:
    if _CONCLUSION in item.stash:
        del item.stash[_CONCLUSION]
    if POWER in item.stash:
        del item.stash[POWER]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Conclude inside the call, so that a divergence is a failure of the test and not an error of its teardown."""
    try:
        outcome = yield
        # A unittest case keeps its failure to itself, and hands it over when the report is made.
        if getattr(item, "_excinfo", None):
            _give_up(item, None)
        else:
            _conclude(item)
    except BaseException as error:
        _give_up(item, error)
        raise
    return outcome


def _conclude(item: pytest.Item) -> None:
    parity = item.stash.get(_PARITY, None)
    if parity is not None:
        rerunner = item.stash.get(RERUNNER, None)
        again = None if rerunner is None else partial(_again, item, rerunner)
        concluded = parity.finish(again)
        if item.config.stash[OPTIONS].isolate == "always":
            concluded = _alone(item, parity, concluded)
        item.stash[_CONCLUSION] = concluded
        _announce(item, concluded)
        check_power(item, parity, again)


def _alone(item: pytest.Item, parity: Parity, concluded: Comparison | Recorded) -> Comparison | Recorded:
    """A check that passed, run again with each module alone; raises ``ParityFailure`` where one differs by itself."""
    rerunner = item.stash.get(RERUNNER, None)
    if not isinstance(concluded, Comparison) or rerunner is None:
        return concluded
    found = parity.isolated(concluded, partial(_again, item, rerunner))
    if not found.passed:
        raise ParityFailure(failure_text(found), found)
    return found


def _isolate(item: pytest.Item, parity: Parity, failure: ParityFailure) -> None:
    """Have a failure say which modules are faulty by themselves."""
    rerunner, comparison = item.stash.get(RERUNNER, None), failure.comparison
    if rerunner is None or comparison is None or parity.recording or comparison.isolation is not None:
        return
    try:
        failure.comparison = parity.isolated(comparison, partial(_again, item, rerunner))
    except Exception as error:  # noqa: BLE001 - the test has failed already, and that is what is to be seen
        _mention(item, "call", "modules could not be looked at alone", error)
        return
    if failure.comparison.isolation is not None:
        failure.args = (failure_text(failure.comparison),)


def _again(item: pytest.Item, rerunner: Rerunner, run: Run) -> None:
    """Run a test's body again; what ends it, as an error like any other."""
    item.stash[AGAIN] = run
    try:
        rerunner.run(partial(_close_repeated, item))
    except (pytest.skip.Exception, pytest.fail.Exception, pytest.xfail.Exception) as outcome:
        raise RuntimeError(f"{type(outcome).__name__.lower()}: {outcome}") from outcome
    except pytest.exit.Exception as stop:  # an exception like a body's own, and it ends the session
        raise KeyboardInterrupt(str(stop)) from stop
    finally:
        del item.stash[AGAIN]


def _close_repeated(item: pytest.Item) -> None:
    if _REPEATED in item.stash:
        item.stash[_REPEATED].close()
        del item.stash[_REPEATED]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """What the first run's fixtures raised as they made room for the next run's is raised where it would have been.

    Of a test that was run again the fixture ``parity`` was torn down before its end, and what it held is put away here.
    """
    outcome = yield
    parity, rerunner = item.stash.get(_PARITY, None), item.stash.get(RERUNNER, None)
    if parity is not None:
        _put_away(item, parity)
    if rerunner is not None:
        del item.stash[RERUNNER]
        if rerunner.error is not None:
            raise rerunner.error
    return outcome


def _give_up(item: pytest.Item, error: BaseException | None) -> None:
    parity = item.stash.get(_PARITY, None)
    if parity is None or _CONCLUSION in item.stash:
        return
    failure = error if isinstance(error, ParityFailure) else None
    if failure is not None:
        _isolate(item, parity, failure)
    item.stash[_CONCLUSION] = known = (failure and failure.comparison) or _known(item, parity)
    _abandon(item, parity, "call")
    if failure:
        _announce(item, known)


def _known(item: pytest.Item, parity: Parity) -> Comparison | None:
    try:
        return parity.comparison()
    except Exception as error:  # noqa: BLE001 - the test has failed already, and that is what is to be seen
        _mention(item, "call", "what was compared before the test failed cannot be told", error)
        return None


def _abandon(item: pytest.Item, parity: Parity, when: str) -> None:
    try:
        parity.abandon()
    except Exception as error:  # noqa: BLE001 - likewise
        _mention(item, when, "what the test held could not be put away", error)
    finally:
        parity.close()


def _mention(item: pytest.Item, when: str, what: str, error: Exception) -> None:
    item.add_report_section(when, "parity", f"{what}: {type(error).__name__}: {error}")


def _announce(item: pytest.Item, concluded: Comparison | Recorded | None) -> None:
    if isinstance(concluded, Comparison):
        item.ihook.pytest_parity_compared(item=item, comparison=concluded)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show an error of ours as its message, and put the case's result on the report."""
    report = yield
    error = call.excinfo.value if call.excinfo else None
    if call.excinfo and isinstance(error, ParityError) and not item.config.option.fulltrace:
        report.longrepr = _message_first(item, call.excinfo)
    parity = item.stash.get(_PARITY, None)
    if parity is not None and call.when == "call" and report.outcome != "skipped":
        text = "" if error is None else str(error) or type(error).__name__
        attach(item, report, _result(item, parity, text))
    return report


def _result(item: pytest.Item, parity: Parity, text: str) -> CaseResult:
    concluded = item.stash.get(_CONCLUSION, None)
    comparison = concluded if isinstance(concluded, Comparison) else None
    recorded = concluded if isinstance(concluded, Recorded) else None
    power = item.stash.get(POWER, None)
    if text:
        text = f"not recorded: {text}" if parity.recording and recorded is None else text
        message = text.partition("\n")[0]
        return CaseResult(item.nodeid, parity.case, "failed", comparison, None, message, power, text)
    return CaseResult(item.nodeid, parity.case, "recorded" if recorded else "passed", comparison, recorded, "", power)


def _message_first(item: pytest.Item, excinfo: pytest.ExceptionInfo[BaseException]) -> Any:
    """The error's message, then the line of the user's that it came from: the frames between are ours."""
    shown: Any = excinfo.getrepr(style="value", chain=False)
    message = str(excinfo.value) or excinfo.typename
    path, line = _place(item, excinfo)
    shown.reprcrash.path, shown.reprcrash.lineno, shown.reprcrash.message = path, line, message
    shown.reprtraceback.reprentries[0].lines[:] = [*message.split("\n"), "", f"{path}:{line}: {excinfo.typename}"]
    return shown


def _place(item: pytest.Item, excinfo: pytest.ExceptionInfo[BaseException]) -> tuple[str, int]:
    own = [entry for entry in excinfo.traceback if str(entry.path) == str(item.path)]
    line = own[-1].lineno if own else item.location[1] or 0
    return item.location[0], line + 1


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    """A recording is an outcome of its own: not passed, for nothing was compared."""
    plain = report.__dict__.get("parity")
    if report.when == "call" and report.passed and plain is not None and plain["outcome"] == "recorded":
        return "recorded", "r", ("RECORDED", {"yellow": True})
    return None
