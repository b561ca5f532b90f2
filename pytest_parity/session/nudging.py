"""Nudging: while a curve is drawn, the weights that train are moved by one unit in the last place behind each step.

A start that is moved shows what training makes of one rounding. Each step rounds anew, and where training forgets its
start (a model that converges) nothing of the first would be left at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.hooks import RemovableHandle

__all__ = ["Nudging", "nudge"]

_WIDE = frozenset({torch.float32, torch.float64})
"""In a narrower dtype one unit is no rounding that training could do without: there the start alone is moved."""


class Nudging:
    """The parameters of the models that it follows, moved behind each step of an optimizer that has them.

    ``seed`` tells the draws apart; ``paused`` says when nothing is to be moved: while a watch measures for itself.
    """

    def __init__(self, seed: int, paused: Callable[[], bool]) -> None:
        self._seed = seed
        self._paused = paused
        self._followed: dict[int, torch.Tensor] = {}
        self._generators: dict[torch.device, torch.Generator] = {}
        self._handle: RemovableHandle | None = None

    def follow(self, model: torch.nn.Module) -> None:
        """Have this model's trainable parameters moved from here on."""
        self._followed.update({id(one): one for one in model.parameters() if one.requires_grad and one.dtype in _WIDE})
        if self._handle is None:
            self._handle = register_optimizer_step_post_hook(self._stepped)

    def end(self) -> None:
        """Move nothing further."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    def _stepped(self, optimizer: torch.optim.Optimizer, _args: Any, _kwargs: Any) -> None:
        if self._paused():
            return
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if id(parameter) in self._followed:
                    nudge(parameter, self._generator(parameter.device))

    def _generator(self, device: torch.device) -> torch.Generator:
        if device not in self._generators:
            self._generators[device] = torch.Generator(device=device).manual_seed(self._seed)
        return self._generators[device]


def nudge(parameter: torch.Tensor, generator: torch.Generator) -> None:
    """Move each element by one unit in the last place, up or down, in place; zeros, and what is not finite, stay."""
    with torch.no_grad():
        values = parameter.detach()
        up = torch.randint(0, 2, values.shape, generator=generator, device=values.device, dtype=torch.bool)
        away = torch.where(up, torch.inf, -torch.inf).to(values.dtype)
        moved = torch.nextafter(values, away)
        values.copy_(torch.where((values != 0) & torch.isfinite(values) & torch.isfinite(moved), moved, values))
