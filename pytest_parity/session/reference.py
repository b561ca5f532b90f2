"""Reference: a golden as a check uses it: its structure, its inputs, and the start of each of its steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch

from pytest_parity.capture import Capture, Snapshot, isolated_step, needs_closure
from pytest_parity.contract.structure import Structure
from pytest_parity.errors import GoldenError, LoadError
from pytest_parity.golden.entry import NONE, Entry
from pytest_parity.golden.reader import Golden
from pytest_parity.names import BoundNames
from pytest_parity.names.moves import in_reference
from pytest_parity.session.beginning import Beginning
from pytest_parity.site import Kind, Site

__all__ = ["Reference"]

_SHOWN = 5
_START = {Kind.WEIGHT: "weights", Kind.GRADIENT: "gradients", Kind.OPTIMIZER: "optimizer state"}
"""What an optimizer's step begins with."""


class Reference:
    """What a check reads of a golden besides the sites that it compares."""

    def __init__(self, golden: Golden, structure: Structure | None = None) -> None:
        self._golden = golden
        self._given = structure

    def info(self, step: int) -> dict[str, Any]:
        """The manifest's record of a step."""
        info: dict[str, Any] = self._golden.manifest["steps"][str(step)]
        return info

    @cached_property
    def structure(self) -> Structure:
        """The recorded model's structure; raises ``GoldenError`` where no model was watched."""
        if self._given is not None:
            return self._given
        if not self._golden.manifest["structure"]:
            raise GoldenError(
                f"the golden of {self._golden.case} holds values, and no model: it was recorded without "
                "parity.watch(). Record it again with the test as it is now: pytest --parity-record"
            )
        return Structure.from_plain(self._golden.manifest["structure"])

    @property
    def recorded_optimizers(self) -> tuple[str, ...]:
        """The classes of its optimizers."""
        return tuple(self._golden.manifest["settings"].get("optimizers", ()))

    @property
    def tensor_names(self) -> frozenset[str]:
        """The names of its parameters and persistent buffers."""
        return frozenset(self.structure.tensors)

    def read(self, entry: Entry) -> torch.Tensor:
        """A recorded tensor as everything here is given it."""
        return self._golden.tensor(entry)

    @cached_property
    def unstable(self) -> tuple[str, ...]:
        """The modules whose recorded integers flip whatever is moved: their recorded outputs stand in for the candidate's."""
        noise = self._golden.noise
        steps = [step for step in self._golden.steps if noise is not None and noise.unstable(step)]
        entries = [
            entry for step in steps for entry in self._golden.entries(step) if entry.site.kind is Kind.ACTIVATION
        ]
        flagged = [one.site.path for one in entries if noise is not None and one.order in noise.unstable(one.step)]
        return tuple(dict.fromkeys(flagged))

    def tensor(self, step: int, site: Site) -> torch.Tensor:
        """One recorded tensor, in memory of its own; raises ``GoldenError`` where the golden has none there."""
        entry = self._golden.entry(step, site)
        if entry is None or entry.dtype == NONE:
            raise GoldenError(f"the golden of {self._golden.case} has no {str(site)!r} in step {step}")
        return self.read(entry)

    def load(
        self,
        tensors: Mapping[str, torch.Tensor],
        names: BoundNames,
        *,
        excepted: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """Copy the weights of the first step into ``tensors`` (by ``names.path``), all of them or none.

        Raises ``LoadError`` where names or shapes do not fit, with the first of them; ``excepted`` names need not.
        """
        begun = (self.beginning(step, names) for step in self._golden.steps)
        first = next((one for one in begun if one.weights), None)
        if tensors and first is None:
            raise LoadError(f"the golden of {self._golden.case} holds no weights; record it with the kind 'weight'")
        problems = [] if first is None else list(_problems(first, tensors, names, excepted))
        if problems:
            more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
            raise LoadError(
                f"the weights of {self._golden.case} do not fit the model, and nothing was changed: "
                f"{'; '.join(problems[:_SHOWN])}{more}. Where only names differ, give a name map: "
                "names={'candidate.name': 'golden.name'}; `parity names` proposes one"
            )
        if first is not None:
            _copy(first, tensors)

    def restart(
        self,
        step: int,
        capture: Capture,
    ) -> None:
        """Put weights and optimizer state to where the reference's step began."""
        beginning = self.beginning(step, capture.names)
        _copy(beginning, capture.tensors)
        for place, optimizer in enumerate(capture.optimizers):
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    recorded = beginning.state(capture.name_of(parameter), place)
                    if recorded:
                        on_device = bool(group.get("capturable") or group.get("fused"))
                        self._restore(optimizer.state[parameter], recorded, parameter, counters_on_device=on_device)

    def set_rates(self, step: int, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        """Set the learning rates to the recorded ones, for a step whose predecessor was not kept: no schedule led there."""
        for place, groups in self.info(step).get("hyperparameters", {}).items():
            if int(place) < len(optimizers):
                for own, recorded in zip(optimizers[int(place)].param_groups, groups, strict=False):
                    if isinstance(own["lr"], float) and "lr" in recorded:
                        own["lr"] = recorded["lr"]

    def obstacle(self, step: int, place: int, optimizer: torch.optim.Optimizer) -> str:
        """Why an optimizer's step cannot be judged in isolation; empty where it can."""
        recorded = self._golden.manifest["settings"].get("kinds", ())
        for kind, words in _START.items():
            if kind.value not in recorded:
                return f"the golden holds no {words}"
        if needs_closure(optimizer):
            return f"{type(optimizer).__name__} cannot step without its closure"
        taken = (*self.info(step).get("optimizer_steps", ()), *[0] * (place + 1))[place]
        return "" if taken == 1 else f"the reference's optimizer took {taken} steps in step {step}"

    def isolated(
        self,
        step: int,
        place: int,
        before: Snapshot,
        capture: Capture,
    ) -> Iterator[tuple[str, torch.Tensor]]:
        """Step a copy of the candidate's optimizer from the reference's start: the reference's names and the new values.

        Parameters that are rearranged are stepped as the candidate has them. Those that share a tensor of the
        reference's come when all of them are stepped; if this optimizer does not hold them all, they do not come.
        """
        names = capture.names
        beginning = self.beginning(step, names)

        def start(parameter: torch.nn.Parameter) -> Any:
            name = capture.name_of(parameter)
            if name is None or beginning.shape(name) != tuple(parameter.shape) or not beginning.has_gradient(name):
                return None
            return beginning.weight(name), beginning.gradient(name), beginning.state(name, place)

        waiting: dict[str, torch.Tensor | None] = {}
        for parameter, new in isolated_step(capture.optimizers[place], before, start):
            name = capture.name_of(parameter)
            assert name is not None
            waiting[name] = new
            complete = names.layouts[name].candidate if name in names.layouts else (name,)
            if waiting.keys() >= set(complete):
                for target, tensor in in_reference(names, {one: waiting.pop(one) for one in complete}):
                    assert tensor is not None
                    yield target, tensor

    def beginning(self, step: int, names: BoundNames) -> Beginning:
        """What a step began with, as the candidate has it."""
        return Beginning(self._golden.entries(step), names, self.read)

    def _restore(
        self,
        state: dict[str, Any],
        recorded: Mapping[str, torch.Tensor],
        parameter: torch.Tensor,
        *,
        counters_on_device: bool,
    ) -> None:
        for leaf, value in recorded.items():
            own = state.get(leaf)
            if isinstance(own, torch.Tensor) and own.shape == value.shape:
                with torch.no_grad():
                    own.copy_(value)
            elif isinstance(own, (bool, int, float)):
                state[leaf] = type(own)(value.item())
            elif own is None and "." not in leaf:
                # torch's optimizers count their steps on the CPU, unless they run in a graph or are fused
                counter = value.dim() == 0 and not counters_on_device
                state[leaf] = value if counter else value.to(parameter.device)


def _problems(
    first: Beginning, tensors: Mapping[str, torch.Tensor], names: BoundNames, excepted: Callable[[str], bool]
) -> Iterator[str]:
    """Why weights do not fit a model, those of it alone first."""
    reached = {target for name in tensors for target in names.tensors(name)}
    shapes = {name: first.shape(name) for name in tensors}
    for name, shape in shapes.items():
        if shape is None and not excepted(name):
            yield f"{names.back(name)} is not in the golden"
    for name in first.weights:
        if name not in reached and not excepted(name):
            own = names.back(name)
            yield f"{own} is not in the model" + (f" (the golden's {name})" if own != name else "")
    for name, shape in shapes.items():
        actual = tuple(tensors[name].shape)
        if shape not in {None, actual} and not excepted(name):
            yield f"{names.back(name)} has shape {actual}, the golden's {shape}"


def _copy(beginning: Beginning, tensors: Mapping[str, torch.Tensor]) -> None:
    with torch.no_grad():
        for name, tensor in tensors.items():
            if beginning.shape(name) == tuple(tensor.shape):  # what does not fit is excepted by name
                tensor.copy_(beginning.weight(name))
