"""Which test owns which case: names by default, one owner each, and ``--parity-case``."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from hashlib import sha256

import pytest

from pytest_parity.errors import ParityError, UsageError
from pytest_parity.golden.cases import check_case_name
from pytest_parity.plugin.marker import read_marker
from pytest_parity.plugin.options import OPTIONS
from pytest_parity.plugin.text import shortened
from pytest_parity.settings import MarkerOptions

__all__ = [
    "CASES",
    "Cases",
    "Plan",
    "default_case",
    "is_planned",
    "matches",
    "plan_of",
    "pytest_collection_modifyitems",
    "pytest_make_collect_report",
]

_UNSAFE = re.compile(r"[^\w.,=+\-\[\]]", re.ASCII)
_LONGEST = 200
"""Characters of a part of a path; file systems allow 255 bytes."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a test's marker, the project's hook and the test's own name come to."""

    case: str
    marker: MarkerOptions


_PLAN = pytest.StashKey[Plan]()


def default_case(nodeid: str) -> str:
    """The case of a test that names none: ``tests/test_x.py::TestA::test_b[1]`` is ``tests/test_x/TestA.test_b[1]``."""
    path, _, name = nodeid.partition("::")
    name, bracket, parameters = name.partition("[")
    parts = [*path.removesuffix(".py").split("/"), name.replace("::", ".") + bracket + parameters]
    return "/".join(_part(part) for part in parts)


def _part(text: str) -> str:
    """One part of a path, other characters percent-encoded; a long one is cut, and told apart by its digest."""
    safe = _UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), text)
    if safe.startswith("."):
        safe = "%2E" + safe[1:]
    if len(safe) <= _LONGEST:
        return safe
    return f"{safe[: _LONGEST - 13]}~{sha256(text.encode()).hexdigest()[:12]}"


def is_planned(item: pytest.Item) -> bool:
    """Whether a test uses the fixture, as far as collection can tell."""
    return _PLAN in item.stash


def plan_of(item: pytest.Item) -> Plan:
    """The test's plan, made at collection; made now where a test asks for the fixture by ``getfixturevalue``."""
    plan = item.stash.get(_PLAN, None)
    if plan is None:
        plan = item.stash[_PLAN] = _make_plan(item)
        problems = item.config.stash[CASES].claim([item])
        if problems:
            raise UsageError("\n".join(problems))
    return plan


def _make_plan(item: pytest.Item) -> Plan:
    named, marker = read_marker(item)
    if named is not None:
        return Plan(named, marker)
    case = item.ihook.pytest_parity_case(item=item)
    if case is None:
        return Plan(default_case(_nodeid(item)), marker)
    if not isinstance(case, str):
        raise UsageError(f"the hook pytest_parity_case returned {case!r}; return the case's name, a string, or None")
    check_case_name(case)
    return Plan(case, marker)


def _nodeid(item: pytest.Item) -> str:
    # item.nodeid itself may get a group's name behind it (pytest-xdist, --dist loadgroup).
    return f"{item.parent.nodeid}::{item.name}" if item.parent else item.nodeid


@dataclass(slots=True)
class Cases:
    """The cases of the tests collected so far, deselected ones too, and who owns them."""

    owners: dict[str, str] = field(default_factory=dict)
    _inner: dict[str, str] = field(default_factory=dict)
    """Each proper prefix of a case (``a/b`` of ``a/b/c``), to a case that it is a prefix of."""

    def claim(self, items: Iterable[pytest.Item]) -> list[str]:
        """Give each test its case; returns what is wrong, one entry for all the tests it is wrong for."""
        shared: dict[str, list[str]] = {}
        nested: dict[tuple[str, str], None] = {}
        for item in items:
            case, nodeid = item.stash[_PLAN].case, _nodeid(item)
            if self.owners.setdefault(case, nodeid) != nodeid:
                shared.setdefault(case, []).append(nodeid)
                continue
            nested |= dict.fromkeys(self._clashes(case))
            self._inner |= dict.fromkeys(_prefixes(case), case)
        return [
            *(self._shared(case, others) for case, others in shared.items()),
            *(self._nested(outer, inner) for outer, inner in nested),
        ]

    def _clashes(self, case: str) -> Iterator[tuple[str, str]]:
        if case in self._inner:
            yield case, self._inner[case]
        yield from ((prefix, case) for prefix in _prefixes(case) if prefix in self.owners)

    def _shared(self, case: str, others: list[str]) -> str:
        first = self.owners[case]
        message = f"{first} and {shortened(others)} have one case, {case!r}, and a case belongs to one test. "
        if all(other.partition("[")[0] == first.partition("[")[0] for other in others):
            return message + (
                "Put the parameter into the case: "
                f"pytest.param(..., marks=pytest.mark.parity('{case}-a')), or leave the case out of the marker."
            )
        return message + f"Name another, as in @pytest.mark.parity('{case}-2')."

    def _nested(self, outer: str, inner: str) -> str:
        return (
            f"{self.owners[outer]} has the case {outer!r} and {self.owners[inner]} has {inner!r}, whose golden would be "
            f"inside the other's. Name another, as in @pytest.mark.parity('{outer}/all')."
        )


CASES = pytest.StashKey[Cases]()


def _prefixes(case: str) -> list[str]:
    parts = case.split("/")
    return ["/".join(parts[:length]) for length in range(1, len(parts))]


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Mark the tests that use the fixture, and make a wrong marker or a shared case an error of their module."""
    report = yield
    if report.passed:
        items = [node for node in report.result if isinstance(node, pytest.Item)]
        problems = _prepare(items, collector.config.stash[CASES])
        if problems:
            report.outcome, report.longrepr, report.result = "failed", "\n".join(problems), []
    return report


def _prepare(items: list[pytest.Item], cases: Cases) -> list[str]:
    problems: dict[str, list[str]] = {}
    planned = []
    for item in items:
        uses = "parity" in getattr(item, "fixturenames", ())
        if not uses and item.get_closest_marker("parity") is None:
            continue
        try:
            if not uses:
                read_marker(item)
                continue
            item.stash[_PLAN] = _make_plan(item)
        except ParityError as error:
            problems.setdefault(str(error), []).append(item.nodeid)
            continue
        if item.get_closest_marker("parity") is None:
            item.add_marker(pytest.mark.parity)
        planned.append(item)
    return [f"{shortened(tests)}: {message}" for message, tests in problems.items()] + cases.claim(planned)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what ``--parity-case`` does not name, and tests without a case with it."""
    globs = config.stash[OPTIONS].cases
    if not globs:
        return
    others = [item for item in items if _PLAN not in item.stash or not matches(item.stash[_PLAN].case, globs)]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]


def matches(case: str, globs: tuple[str, ...]) -> bool:
    """Whether one of the globs means this case."""
    # The brackets of a parameter are a set of characters to fnmatch: a name typed in full matches itself.
    return any(case == glob or fnmatchcase(case, glob) for glob in globs)
