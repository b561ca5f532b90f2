"""Noise: the noise floors of a recording, from draws of its own test."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

from pytest_parity.capture import Generators, Streams
from pytest_parity.compare.comparator import Comparator
from pytest_parity.compare.floor import Measured, assembled, default_factor, widening
from pytest_parity.compare.measuring import Measuring, Repeated
from pytest_parity.curves.curve import Curve
from pytest_parity.errors import ParityError, ParityFailure
from pytest_parity.golden.noise import Floor, NoiseFloors, row
from pytest_parity.golden.reader import Golden
from pytest_parity.report.words import listed
from pytest_parity.result import Comparison
from pytest_parity.session.banded import unlike
from pytest_parity.session.drawing import Drawing
from pytest_parity.session.memory import Start
from pytest_parity.session.moving import MovedReference
from pytest_parity.session.reference import Reference
from pytest_parity.settings import Settings
from pytest_parity.site import Kind, Site

__all__ = ["Draw", "Noise", "Original", "rerunning"]

_ATTEMPTS = 5
_NAMED = 3
_FORWARD = frozenset({Kind.ACTIVATION, Kind.OUTPUT, Kind.LOSS})
_ENOUGH = 3
"""Draws from which the floor of a single number is not many times what it moved."""

_RAISES = "it raises"
_NOTHING = (
    "there is nothing to move by one unit in the last place, for no model with weights is watched, and no floating input "
    "comes from parity.input() or steps()"
)

_Key = tuple[int, int]


class Original(Protocol):
    """What a recording has kept for its draws."""

    settings: Settings
    streams: Streams
    start: Start | None
    moments: dict[int, Generators]


@dataclass(frozen=True, slots=True)
class Draw:
    """What one further run found: by step and order what it moved, or why it says nothing (``problem``)."""

    problem: str = ""
    sites: Mapping[_Key, Measured] = field(default_factory=dict)
    own: Mapping[_Key, Measured] = field(default_factory=dict)
    """Of updates by their own gradients."""
    flipped: tuple[Site, ...] = ()
    """The integer and boolean sites that are not what they were."""
    moves: bool = False
    """Whether anything was moved."""
    curves: Mapping[str, Curve] = field(default_factory=dict)
    """The training curves that it led to."""

    @classmethod
    def of(cls, problem: str, comparator: Comparator, reference: Reference, drawing: Drawing) -> Draw:
        """What a run has left in its comparator and its reference."""
        moves = isinstance(reference, MovedReference) and reference.moves
        curves = drawing.drawn_curves.found
        if not isinstance(comparator, Measuring):
            return cls(problem or unlike(drawing.golden, curves))
        flipped = tuple(one.site for one in comparator.flipped)
        return cls(problem, comparator.sites, comparator.own, flipped, moves, curves)


Rerun = Callable[["str | None", "tuple[str, ...]"], Draw]
"""Runs it again: moved as a seed says, unmoved for ``None``; the modules of these patterns are replayed."""


def sides_of(golden: Golden, seed: str | None, memory: int) -> tuple[Reference, Comparator]:
    """What a further run is given, and what looks at it."""
    if seed is None:
        return Reference(golden), Repeated(golden)
    return MovedReference(golden, seed), Measuring(golden, memory=memory)


def rerunning(original: Original, golden: Golden, again: Callable[[Drawing], None]) -> Rerun:
    """Further runs in this process; ``again`` runs the test's body with a run that takes the recording's place."""
    settings = original.settings

    def rerun(seed: str | None, replay: tuple[str, ...]) -> Draw:
        reference, comparator = sides_of(golden, seed, settings.memory)
        streams = Streams(settings.case, policy=original.streams.policy, seed=original.streams.seed)
        drawing = Drawing(
            settings,
            streams,
            golden,
            reference=reference,
            comparator=comparator,
            start=original.start,
            moments=original.moments,
            replay=replay,
        )
        return Draw.of(problem_of(drawing, again), comparator, reference, drawing)

    return rerun


def problem_of(drawing: Drawing, again: Callable[[Drawing], None]) -> str:
    """Why a run says nothing, what differs or what it raised, in words; empty where it went as it should."""
    try:
        again(drawing)
        result = drawing.finish()
    except ParityFailure as failure:
        return _first(failure.comparison)
    except ParityError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001  it is the user's code, run in a way that it was not made for
        return f"{_RAISES} {type(error).__name__}: {error}".partition("\n")[0]
    finally:
        drawing.abandon()
    assert isinstance(result, Comparison)
    return ""


@dataclass
class Noise:
    """The draws of one recording, in runs of its ``what`` (a test, a script).

    ``floors`` are ``None`` where it does not give the same twice; ``note`` says which, and what it cost.
    """

    golden: Golden
    rerun: Rerun
    draws: int
    seed: int
    what: str = "test"
    volatile: bool = False
    """Whether the golden is in memory: a live pair's, whose inputs may all be whole."""
    floors: NoiseFloors | None = None
    note: str = ""
    curves: dict[str, list[Curve]] = field(default_factory=dict)
    """The training curves of the draws, by name."""
    _runs: int = 0
    _moves: bool = False
    _flips: Counter[Site] = field(default_factory=Counter)
    _always: bool = True
    """Whether what is unstable flipped in each of the attempts before it was found to be."""
    _unstable: dict[Site, None] = field(default_factory=dict)
    _sites: dict[_Key, list[Measured]] = field(default_factory=dict)
    _own: dict[_Key, list[Measured]] = field(default_factory=dict)
    _flipped: dict[_Key, list[Measured]] = field(default_factory=dict)

    def measure(self) -> None:
        """Run the test again, unmoved, then ``draws`` times moved; what it raises then is why there is no floor."""
        began = time.perf_counter()
        reason = self._refusal()
        if reason:
            self.note = f"no noise floor: {reason}. Checks of this golden use the dtypes' default tolerances"
            return
        self.floors = NoiseFloors(self.draws, dict(self._assembled()))
        cost = f"{self._runs} further runs of the {self.what}, {time.perf_counter() - began:.1f} s"
        said = f"{self._said_few()}{self._said_unstable()}{self._said_anything()}"
        self.note = f"noise floor from {self.draws} draw{'s' * (self.draws > 1)}: {cost}{said}"

    def _refusal(self) -> str:
        found = self._run(None).problem
        if found:
            same = "" if found.startswith(_RAISES) else f"the {self.what} does not give the same: "
            return f"run again, unchanged, {same}{found}"
        for draw in range(self.draws):
            found = self._draw(draw)
            if found:
                return f"moved by one unit in the last place, {found}"
            if not self._moves and not self.volatile:
                return _NOTHING
        return ""

    def _draw(self, draw: int) -> str:
        """One draw, again where an integer flips, five times as it is, and then with all that has flipped replayed.

        What is kept is a draw in which nothing flips but that: behind an id that does, floors would be as large as what
        ids select. Each further attempt replays one site more at least, so that they come to an end.
        """
        for attempt in count(1):
            found = self._run(f"{self.seed}|{draw}|{attempt - 1}")
            self._moves = self._moves or found.moves
            if found.problem:
                return found.problem
            fresh = dict.fromkeys(site for site in found.flipped if site not in self._unstable)
            if not fresh:
                self._keep(found)
                break
            for key, one in found.sites.items():
                self._flipped.setdefault(key, []).append(one)
            self._flips.update(fresh.keys())
            if attempt >= _ATTEMPTS:
                flipped = {site: times for site, times in self._flips.items() if site not in self._unstable}
                self._always = self._always and all(times == _ATTEMPTS for times in flipped.values())
                self._unstable.update(dict.fromkeys(flipped))
        return ""

    def _keep(self, draw: Draw) -> None:
        for kept, found in ((self._sites, draw.sites), (self._own, draw.own)):
            for key, one in found.items():
                kept.setdefault(key, []).append(one)
        for name, curve in draw.curves.items():
            self.curves.setdefault(name, []).append(curve)

    @property
    def _replay(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(site.path for site in self._unstable if site.kind is Kind.ACTIVATION))

    def _run(self, seed: str | None) -> Draw:
        """One further run."""
        self._runs += 1
        return self.rerun(seed, self._replay)

    def _assembled(self) -> Iterator[tuple[int, list[tuple[float, ...]]]]:
        for step in self.golden.steps:
            entries = self.golden.entries(step)
            floors = self._floors(step, self._sites)
            own = self._floors(step, self._own)
            yield step, [row(floors.get(entry.order), own.get(entry.order)) for entry in entries]

    def _floors(self, step: int, found: dict[_Key, list[Measured]]) -> dict[int, Floor]:
        places = sorted(order for at, order in found if at == step)
        gathered = []
        for order in places:
            draws = found[step, order]
            if self._touched(draws[0].site):
                draws = [*draws, *self._flipped.get((step, order), ())]
            gathered.append(draws)
        floors = dict(zip(places, assembled(gathered), strict=True))
        for order, floor in floors.items():
            if self._touched(found[step, order][0].site):
                floors[order] = Floor(floor.norm, floor.gain, floor.reference, unstable=True)
        return floors

    def _touched(self, site: Site) -> bool:
        """Whether a site flips in every draw, or is a further output of a call that does."""
        return any((site.kind, site.path, site.call) == (one.kind, one.path, one.call) for one in self._unstable)

    def _said_few(self) -> str:
        if self.draws >= _ENOUGH:
            return ""
        return (
            f"; from so few draws a loss, and what else has up to 16 elements, has a floor of {widening(self.draws):,.0f} times "
            f"what it moved (of {widening(_ENOUGH):g} times from {_ENOUGH})"
        )

    def _said_unstable(self) -> str:
        if not self._unstable:
            return ""
        names = listed([str(site) for site in self._unstable], _NAMED)
        often = f"in {_ATTEMPTS} draws of {_ATTEMPTS}" if self._always else "in draw after draw"
        return (
            f"; {names} flipped {often}: unstable, and replayed when checking. "
            "If it is padding that flips, give a valid region"
        )

    def _said_anything(self) -> str:
        """Which of the forward's values may be anything: what decides there, no site shows."""
        assert self.floors is not None
        found: dict[str, None] = {}
        for step in self.golden.steps:
            for entry in self.golden.entries(step):
                floor = self.floors.of(step, entry.order)
                if entry.site.kind not in _FORWARD or floor is None or floor.unstable or not floor.reference:
                    continue
                if floor.norm * default_factor(entry.dtype) >= floor.reference:
                    found.setdefault(str(entry.site))
        if not found:
            return ""
        return (
            f"; {listed(list(found), 1)} moved by so much that a check lets "
            "zeros pass there: it is nothing but rounding, or a choice inside a forward (an argmax, a comparison) hangs on the "
            "last bit. Have a module return that choice, or give a valid region"
        )


def _first(comparison: Comparison | None) -> str:
    failing = comparison.failures if comparison is not None else ()
    if not failing:
        return "it compares nothing"
    first = failing[0]
    return f"{first.site} of step {first.step} is the first site that is another ({first.verdict})"
