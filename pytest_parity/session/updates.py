"""Updates: how the optimizers' steps of a check are judged.

Each by a stand-in that steps from the reference's weights, state and gradients. Where that cannot be done, or where
weights change besides the step, what the candidate's own gradients led to decides, and a note says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import torch

from pytest_parity.capture import (
    Capture,
    Snapshot,
    Streams,
    hyperparameters,
    is_flat,
    kept_generators,
    snapshot,
)
from pytest_parity.compare.comparator import Comparator
from pytest_parity.diagnose.hints.update import Optimizer
from pytest_parity.errors import ParityError
from pytest_parity.result import Delta, Difference
from pytest_parity.session.reference import Reference
from pytest_parity.site import Kind, Site

__all__ = ["Change", "Updates", "setting_changes"]

Change = tuple[str, str, str]
"""A hyperparameter's name, the golden's value, the candidate's."""

_HELD = frozenset({Kind.OPTIMIZER, Kind.UPDATED_WEIGHT})


class Updates:
    """The optimizers of one capture, in one check."""

    def __init__(self, reference: Reference, comparator: Comparator, streams: Streams) -> None:
        self._streams = streams
        self._drawn_from: list[torch.Tensor] = []
        self.capture: Capture | None = None
        self._reference = reference
        self._comparator = comparator
        self._snapshots: dict[int, Snapshot] = {}
        self._changes: dict[tuple[int, int], list[Change]] = {}
        self._settings: dict[tuple[int, int], tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {}
        """By step and place, what an optimizer was set to: the golden's, and here."""
        self._own: set[str] = set()
        self._obstacles: dict[str, None] = {}
        self.changed_besides: list[str] = []
        """The candidate's weights that changed besides their optimizer's step, in this step."""
        self.hyperparameters: dict[str, Any] = {}
        """By place, what the optimizers that have stepped were set to."""

    def begin_step(self) -> None:
        """Every update is judged in isolation until something stands in the way."""
        self._own.clear()
        self.changed_besides = []
        self.hyperparameters = {}

    def own_decides(self, name: str) -> bool:
        """Whether what the candidate's own gradients led to decides about a parameter in this step."""
        return name in self._own

    def stepping(self, place: int) -> None:
        """Keep what an optimizer is like before its step, for the step of its stand-in."""
        assert self.capture is not None
        self._snapshots.pop(place, None)
        if Kind.UPDATED_WEIGHT in self._comparator.kinds:
            self._drawn_from = self._streams.states()
            with suppress(Exception):  # an attribute that cannot be copied is an obstacle, which _isolate names
                self._snapshots[place] = snapshot(self.capture.optimizers[place])

    def stepped(self, place: int) -> None:
        """Judge an optimizer's step."""
        assert self.capture is not None
        step, optimizer = self._comparator.step, self.capture.optimizers[place]
        recorded = self._reference.info(step).get("hyperparameters", {}).get(str(place), [])
        own = self.hyperparameters[str(place)] = hyperparameters(optimizer)
        self._changes[step, place] = setting_changes(recorded, own)
        self._settings = {at: both for at, both in self._settings.items() if at[0] >= step - 1}
        self._settings[step, place] = recorded, own
        if Kind.UPDATED_WEIGHT not in self._comparator.kinds:
            return
        taken = self.capture.steps_taken[place]
        obstacle = self._reference.obstacle(step, place, optimizer)
        if taken > 1:
            obstacle = f"{type(optimizer).__name__} took {taken} steps in step {step}"
        obstacle = obstacle or self._isolate(step, place)
        if obstacle:
            self._obstacles.setdefault(obstacle)
            self._own.update(self._held(place))

    def finishing(self) -> None:
        """Where weights change besides their optimizer's step, on either side, what they end as decides."""
        assert self.capture is not None
        recorded = self._reference.info(self._comparator.step).get("changed_besides", ())
        self.changed_besides = self.capture.changed_besides()
        changed = {*self.changed_besides, *recorded}
        if changed:
            self._obstacles.setdefault("weights change besides the optimizer's step")
            self._own.update(changed)

    def place_of(self, deltas: Iterable[Delta]) -> int:
        """Which optimizer holds the first parameter whose update or state differs; 0 where none does."""
        sites = (Site.parse(delta.site) for delta in deltas if delta.verdict.fails)
        first = next((site for site in sites if site.kind in _HELD), None)
        places = range(len(self.capture.optimizers)) if self.capture is not None else ()
        return next((place for place in places if first is not None and first.path in self._held(place)), 0)

    def changes(self, step: int, place: int, recorded: Sequence[str]) -> Sequence[Change]:
        """What an optimizer was set to differently when it stepped; ``recorded`` are their classes."""
        before = self._changes.get((step - 1, place), ())  # which has left the state that this step begins with
        changed = self._changes.get((step, place), before)
        known, own = [*recorded, ""], [*self.classes, ""]
        theirs, ours = known[min(place, len(recorded))], own[min(place, len(own) - 1)]
        return [("optimizer", theirs, ours), *changed] if theirs and ours and theirs != ours else changed

    def groups(self, place: int) -> dict[str, int]:
        """By the reference's name of each parameter that an optimizer holds, its group."""
        if self.capture is None or place >= len(self.capture.optimizers):
            return {}
        names = self.capture.names
        return {
            target: number
            for number, group in enumerate(self.capture.optimizers[place].param_groups)
            for name in map(self.capture.name_of, group["params"])
            if name is not None
            for target in names.tensors(name)
        }

    def optimizer(self, step: int, place: int) -> Optimizer | None:
        """What is known of an optimizer's step; ``None`` of one that was not taken, or is long gone."""
        golden, own = self._settings.get((step, place), ((), ()))
        recorded = self._reference.recorded_optimizers
        if not golden or not own or place >= len(recorded):
            return None
        return Optimizer(recorded[place], self.classes[place], golden, own)

    @property
    def classes(self) -> list[str]:
        """The classes of the candidate's optimizers, without their modules."""
        return [] if self.capture is None else [type(optimizer).__name__ for optimizer in self.capture.optimizers]

    def differences(self, recorded: Sequence[str]) -> list[Difference]:
        """What the optimizers were set to differently, each setting where it first was; ``recorded`` are their classes."""
        own = self.classes
        found = [
            Difference("optimizer", "optimizer", theirs, ours)
            for theirs, ours in zip(recorded, own, strict=False)
            if theirs != ours
        ]
        if own and recorded and len(own) != len(recorded):
            found.append(Difference("optimizer", "number of optimizers", str(len(recorded)), str(len(own))))
        known: set[tuple[int, str]] = set()
        for (step, place), changes in sorted(self._changes.items()):
            for name, theirs, ours in changes:
                if (place, name) not in known:
                    known.add((place, name))
                    at = f"{name} in step {step}" if step > min(self._changes)[0] else name
                    found.append(Difference("optimizer", at, theirs, ours, own[place]))
        return found

    def notes(self) -> Iterator[str]:
        """Why updates were not judged in isolation."""
        for obstacle in self._obstacles:
            yield f"updates are judged by what the candidate's own gradients led to: {obstacle}"

    def _isolate(self, step: int, place: int) -> str:
        """Judge a stand-in's step; what an optimizer of the user's own raises there is why it cannot be done."""
        assert self.capture is not None
        optimizer, before = self.capture.optimizers[place], self._snapshots.get(place)
        if before is None:
            return f"{type(optimizer).__name__} cannot be copied"
        if not is_flat(optimizer):
            return f"{type(optimizer).__name__} keeps more than a tensor or a number for each parameter"
        with kept_generators():
            self._streams.leave(self._drawn_from)
            return self._step_stand_in(step, place, before)

    def _step_stand_in(self, step: int, place: int, before: Snapshot) -> str:
        assert self.capture is not None
        optimizer = self.capture.optimizers[place]
        try:
            for name, new in self._reference.isolated(step, place, before, self.capture):
                self._comparator.see_update(Site(Kind.UPDATED_WEIGHT, name), new, isolated=True)
        except ParityError:
            raise
        except Exception as error:  # noqa: BLE001  it is the user's code, run in a way that it was not made for
            return f"{type(optimizer).__name__} cannot step on copies ({type(error).__name__}: {error})"
        return ""

    def _held(self, place: int) -> set[str]:
        assert self.capture is not None
        groups = self.capture.optimizers[place].param_groups
        names = (self.capture.name_of(parameter) for group in groups for parameter in group["params"])
        return {target for name in names if name is not None for target in self.capture.names.tensors(name)}


def setting_changes(golden: list[dict[str, Any]], own: list[dict[str, Any]]) -> list[Change]:
    """What an optimizer is set to differently, group by group; nothing is known of a step that the golden's did not take."""
    if not golden:
        return []
    if len(golden) != len(own):
        return [("param_groups", str(len(golden)), str(len(own)))]
    return [
        (f"param_groups[{place}].{name}" if len(golden) > 1 else name, str(before[name]), str(after[name]))
        for place, (before, after) in enumerate(zip(golden, own, strict=True))
        for name in before
        if name in after and before[name] != after[name]
    ]
