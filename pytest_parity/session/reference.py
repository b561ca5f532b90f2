"""Reference: a golden as a check uses it: its structure, its inputs, and the start of each of its steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch

from pytest_parity.capture import Snapshot, isolated_step, needs_closure
from pytest_parity.contract.structure import Structure
from pytest_parity.errors import GoldenError, LoadError
from pytest_parity.golden.entry import NONE, Entry
from pytest_parity.golden.reader import Golden
from pytest_parity.site import Kind, Site

__all__ = ["Reference"]

_SHOWN = 5
_START = {Kind.WEIGHT: "weights", Kind.GRADIENT: "gradients", Kind.OPTIMIZER: "optimizer state"}
"""What an optimizer's step begins with."""


class Reference:
    """What a check reads of a golden besides the sites that it compares."""

    def __init__(self, golden: Golden) -> None:
        self._golden = golden

    def info(self, step: int) -> dict[str, Any]:
        """The manifest's record of a step."""
        info: dict[str, Any] = self._golden.manifest["steps"][str(step)]
        return info

    @cached_property
    def structure(self) -> Structure:
        """The recorded model's structure; raises ``GoldenError`` where no model was watched."""
        if not self._golden.manifest["structure"]:
            raise GoldenError(
                f"the golden of {self._golden.case} holds values, and no model: it was recorded without "
                "parity.watch(). Record it again with the test as it is now: pytest --parity-record"
            )
        return Structure.from_plain(self._golden.manifest["structure"])

    @property
    def tensor_names(self) -> frozenset[str]:
        """The names of its parameters and persistent buffers."""
        return frozenset(self.structure.tensors)

    def tensor(self, step: int, site: Site) -> torch.Tensor:
        """One recorded tensor, in memory of its own; raises ``GoldenError`` where the golden has none there."""
        entry = self._golden.entry(step, site)
        if entry is None or entry.dtype == NONE:
            raise GoldenError(f"the golden of {self._golden.case} has no {str(site)!r} in step {step}")
        return self._golden.tensor(entry)

    def load(self, tensors: Mapping[str, torch.Tensor], own_name: Callable[[str], str]) -> None:
        """Copy the weights of the first step into ``tensors`` (by the reference's names), all of them or none.

        Raises ``LoadError`` where names or shapes do not fit, with the first of them.
        """
        first = next((step for step in self._golden.steps if self._weights(step)), self._golden.steps[0])
        entries = self._weights(first)
        if tensors and not entries:
            raise LoadError(f"the golden of {self._golden.case} holds no weights; record it with the kind 'weight'")
        problems = [f"{own_name(name)} is not in the golden" for name in tensors if name not in entries]
        problems += [
            f"{own_name(name)} is not in the model" + (f" (the golden's {name})" if own_name(name) != name else "")
            for name in entries
            if name not in tensors
        ]
        problems += [
            f"{own_name(name)} has shape {tuple(tensor.shape)}, the golden's {entries[name].shape}"
            for name, tensor in tensors.items()
            if name in entries and tuple(tensor.shape) != entries[name].shape
        ]
        if problems:
            more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
            raise LoadError(
                f"the weights of {self._golden.case} do not fit the model, and nothing was changed: "
                f"{'; '.join(problems[:_SHOWN])}{more}. Where only names differ, give a name map: "
                "names={'candidate.name': 'golden.name'}"
            )
        self._copy(entries, tensors)

    def restart(
        self,
        step: int,
        tensors: Mapping[str, torch.Tensor],
        optimizers: Sequence[torch.optim.Optimizer],
        name_of: Callable[[torch.Tensor], str | None],
    ) -> None:
        """Put weights and optimizer state to where the reference's step began."""
        self._copy(self._weights(step), tensors)
        states = self._states(step)
        for place, optimizer in enumerate(optimizers):
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    recorded = states.get((name_of(parameter), place))
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
        optimizer: torch.optim.Optimizer,
        before: Snapshot,
        name_of: Callable[[torch.Tensor], str | None],
    ) -> Iterator[tuple[str, torch.Tensor]]:
        """Step a copy of the candidate's optimizer from the reference's start: each parameter's name and new value."""
        states = self._states(step)

        def start(parameter: torch.nn.Parameter) -> Any:
            name = name_of(parameter)
            weight = name and self._golden.entry(step, Site(Kind.WEIGHT, name))
            gradient = name and self._golden.entry(step, Site(Kind.GRADIENT, name))
            if not weight or not gradient or weight.shape != tuple(parameter.shape):
                return None
            state = {leaf: self._golden.tensor(entry) for leaf, entry in states.get((name, place), {}).items()}
            return (
                self._golden.tensor(weight),
                None if gradient.dtype == NONE else self._golden.tensor(gradient),
                state,
            )

        for parameter, new in isolated_step(optimizer, before, start):
            name = name_of(parameter)
            assert name is not None
            yield name, new

    def _weights(self, step: int) -> dict[str, Entry]:
        return {e.site.path: e for e in self._golden.entries(step) if e.site.kind is Kind.WEIGHT}

    def _states(self, step: int) -> dict[tuple[str | None, int], dict[str, Entry]]:
        states: dict[tuple[str | None, int], dict[str, Entry]] = {}
        for entry in self._golden.entries(step):
            if entry.site.kind is Kind.OPTIMIZER:
                states.setdefault((entry.site.path, entry.site.optimizer), {})[entry.site.leaf] = entry
        return states

    def _copy(self, entries: Mapping[str, Entry], tensors: Mapping[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name, entry in entries.items():
                if name in tensors:
                    tensors[name].copy_(self._golden.tensor(entry))

    def _restore(
        self,
        state: dict[str, Any],
        recorded: Mapping[str, Entry],
        parameter: torch.Tensor,
        *,
        counters_on_device: bool,
    ) -> None:
        for leaf, entry in recorded.items():
            value = self._golden.tensor(entry)
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
