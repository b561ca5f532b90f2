"""Running a test again, in the middle of its call, from the state that its first run began in.

Function-scoped fixtures are set up anew and torn down with each run. What lives longer would have gone on: a module's model
is trained already, a class's counter has counted. So when the first function-scoped fixture is about to be set up, the values
of fixtures of wider scopes, the attributes of the test's class and the globals of its module are copied, together, so that
an optimizer still holds its model's parameters; each further run gets a copy of those copies, and in the end everyone has the
first run's own objects back. What cannot be copied is shared. The random generators start each time where they were then;
and the body where its first run did, for a hook that seeds them before every call is not called again.
"""

from __future__ import annotations

import copy
import sys
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_parity.capture import Generators

__all__ = ["RERUNNER", "Rerunner", "pytest_fixture_setup", "pytest_pyfunc_call", "remember"]

_CODE = (type, ModuleType, FunctionType, BuiltinFunctionType, MethodType)
_NOT_A_PROJECTS = frozenset({*sys.stdlib_module_names, "_pytest", "pytest", "torch"})
_PYTEST = ("_pytest.", "pytest", "xdist.", "pluggy")


class Rerunner:
    """What one item's runs begin with; made before its fixtures are set up.

    ``state``: whether what outlives the test is copied. A run that starts from a golden's weights does without.
    """

    def __init__(self, item: pytest.Item, *, state: bool = True) -> None:
        self._item = item
        self._state = state
        self._first = True
        self.error: Exception | None = None
        """What the fixtures of the first run raised when they were torn down."""
        self._generators: Generators | None = None
        """As they were before the first function-scoped fixture; ``None`` until then."""
        self._body: Generators | None = None
        """The generators when the body was called first."""
        shared: list[Any] = [item.config, item.session, *item.listchain(), item.config.pluginmanager]
        self._shared = {id(one): one for one in shared}
        self._memo: dict[int, Any] = dict(self._shared)
        self._fixtures: dict[pytest.FixtureDef[Any], Any] = {}
        self._places: list[tuple[Any, dict[str, Any], frozenset[str]]] = []

    def begin(self) -> None:
        """What lives longer than the test is set up, and nothing of its own: the first time keep all that."""
        from pytest_parity.capture import Generators  # noqa: PLC0415

        if self._generators is not None:
            return
        self._generators = Generators.now()
        if not self._state:
            return
        for fixture in _wider(self._item):
            if fixture.cached_result is not None and fixture.cached_result[2] is None:
                self.keep(fixture, fixture.cached_result[0])
        self._places = [(place, self._copied(_state(place)), frozenset(vars(place))) for place in _places(self._item)]

    def set_up(self, fixture: pytest.FixtureDef[Any], value: Any) -> None:
        """Take note of a fixture that the test's first run has set up by name, or in its middle."""
        if fixture.scope != "function" and self._generators is not None:
            self.keep(fixture, value)

    def call(self) -> None:
        """The body is about to be called: the first time keep the generators, else put them back."""
        from pytest_parity.capture import Generators  # noqa: PLC0415

        self.begin()
        if self._body is None:
            self._body = Generators.now()
        else:
            self._body.put_back()

    def keep(self, fixture: pytest.FixtureDef[Any], value: Any) -> None:
        """Copy the value of a fixture of a wider scope, as it is before the test's body."""
        if (
            self._state
            and fixture not in self._fixtures
            and not str(getattr(fixture.func, "__module__", "")).startswith(_PYTEST)
        ):
            self._fixtures.update(self._copied({fixture: value}))

    def run(self, ended: Callable[[], None]) -> None:
        """Run the item's body again, its function-scoped fixtures set up anew before it and torn down behind it.

        ``ended`` is called after the body. Then everything is as the first run has left it, and nothing that this one said
        (warnings, properties of the report) is said a second time.
        """
        if self._first:
            self._first = False
            try:
                self._tear_down()
            except Exception as error:
                self.error = error
                raise
        with self._as_before(), warnings.catch_warnings(record=True):
            try:
                self._item._initrequest()  # type: ignore[attr-defined]  # noqa: SLF001  rerunning plugins all do
                self._item.session._setupstate.setup(self._item)  # noqa: SLF001
                self._item.runtest()
            finally:
                ended()
                self._tear_down()

    def _tear_down(self) -> None:
        item = self._item
        kept = dict(item.stash._storage)  # noqa: SLF001  what a fixture's teardown takes away it expects at its next one
        item.session._setupstate.teardown_exact(item.parent)  # type: ignore[arg-type]  # noqa: SLF001
        item.stash._storage.update(kept)  # noqa: SLF001

    @contextmanager
    def _as_before(self) -> Iterator[None]:
        """The state that the first run began in; afterwards the one that it has left."""
        from pytest_parity.capture import Generators  # noqa: PLC0415

        assert self._generators is not None
        left, properties = Generators.now(), list(self._item.user_properties)
        fixtures, places = self._fresh()
        caches = {fixture: fixture.cached_result for fixture in fixtures}
        states = [(place, _state(place)) for place, *_ in self._places]
        try:
            for fixture, value in fixtures.items():
                if fixture.cached_result is not None:
                    fixture.cached_result = (value, *fixture.cached_result[1:])
            for (place, _, names), state in zip(self._places, places, strict=True):
                _put(place, state, names)
            self._generators.put_back()
            yield
        finally:
            for fixture, cached in caches.items():
                if fixture.cached_result is not None:
                    fixture.cached_result = cached
            for (place, _, names), (_, state) in zip(self._places, states, strict=True):
                _put(place, state, names | set(state))
            self._item.user_properties[:] = properties
            left.put_back()

    def _fresh(self) -> tuple[dict[pytest.FixtureDef[Any], Any], list[dict[str, Any]]]:
        """Copies of the copies, together."""
        memo = dict(self._shared)
        fixtures = {fixture: value for one in self._fixtures.items() for fixture, value in _copies([one], memo).items()}
        return fixtures, [_copies(state.items(), memo) for _, state, _ in self._places]

    def _copied(self, state: Mapping[Any, Any]) -> dict[Any, Any]:
        return _copies(state.items(), self._memo)


def _copies(items: Any, memo: dict[int, Any]) -> dict[Any, Any]:
    """Deep copies under one memo; what cannot be copied (a generator, an open file) is not among them."""
    found = {}
    for key, value in items:
        trial = dict(memo)
        try:
            found[key] = copy.deepcopy(value, trial)
        except Exception:  # noqa: BLE001, S112  whatever an object's copying raises, it stays shared
            continue
        # What a copying has to keep alive it notes under its memo's own id, which another object will have next.
        alive = trial.pop(id(trial), [])
        memo.update(trial)
        memo.setdefault(id(memo), []).extend(alive)
    return found


def _wider(item: pytest.Item) -> Iterator[pytest.FixtureDef[Any]]:
    """The fixtures of the test that outlive it."""
    info = getattr(item, "_fixtureinfo", None)
    for definitions in (info.name2fixturedefs if info is not None else {}).values():
        yield from (fixture for fixture in definitions if fixture.scope != "function")


def _places(item: pytest.Item) -> Iterator[Any]:
    """Where a test keeps state besides fixtures: itself, its class and that one's bases, and its module."""
    owner = getattr(item, "cls", None)
    module = getattr(item, "module", None)
    if owner is not None:
        yield from (one for one in owner.__mro__ if one.__module__.partition(".")[0] not in _NOT_A_PROJECTS)
        yield from (one for one in (getattr(item, "instance", None),) if hasattr(one, "__dict__"))
    if module is not None:
        yield module


def _state(place: Any) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(place).items()
        if not name.startswith("__")
        and not name.startswith("@")
        and not isinstance(value, _CODE)
        and not _is_pytests(value)
    }


def _is_pytests(value: Any) -> bool:
    return (callable(value) and not hasattr(value, "parameters")) or type(value).__module__.startswith(_PYTEST)


def _put(place: Any, state: Mapping[str, Any], names: frozenset[str]) -> None:
    """Give a class or a module this state; what it had not under ``names`` was made by a run, and goes."""
    for name in [name for name in _state(place) if name not in names]:
        delattr(place, name)
    for name, value in state.items():
        setattr(place, name, value)


RERUNNER = pytest.StashKey[Rerunner]()


def remember(item: pytest.Item, *, state: bool = True) -> None:
    """Keep what an item's runs begin with; before its fixtures are set up. ``state``: also what outlives the test."""
    item.stash[RERUNNER] = Rerunner(item, state=state)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """A fixture that is set up for a test that will run again."""
    rerunner = request._pyfuncitem.stash.get(RERUNNER, None)  # noqa: SLF001  a wider request has no item
    if rerunner is not None and fixturedef.scope == "function":
        rerunner.begin()
    result = yield
    if rerunner is not None:
        rerunner.set_up(fixturedef, result)
    return result


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """The body of a test that will run again, and of its further runs."""
    rerunner = pyfuncitem.stash.get(RERUNNER, None)
    if rerunner is not None:
        rerunner.call()
    return (yield)
