"""Rules: one step of the common optimizers in closed form, in float64, with the ways in which they are miswritten.

Adam is Kingma and Ba, 2015; the decoupled weight decay Loshchilov and Hutter, 2019; momentum as ``torch.optim.SGD``
defines it: the first buffer is the gradient.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

__all__ = ["KNOWN", "MOMENTS", "WEIGHT", "Begin", "Rule", "rules_of"]

WEIGHT = "weight"
"""The name of the new weight among what a step leaves; the others are those of the state."""

KNOWN = frozenset({"Adam", "AdamW", "SGD"})
"""Classes whose rules are known by their settings; of another's, the settings say some."""

MOMENTS = frozenset({"exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer"})
"""What of a state the rules compute."""


@dataclass(frozen=True, slots=True)
class Begin:
    """What one parameter's step begins with, in float64."""

    weight: torch.Tensor
    gradient: torch.Tensor
    state: Mapping[str, torch.Tensor]
    count: int
    """The number of this step, the first is 1."""
    total: float = 0.0
    """The norm of all gradients that the optimizer holds."""

    def moment(self, name: str) -> torch.Tensor:
        """A moment of the state; zeros in the first step."""
        held = self.state.get(name)
        return torch.zeros_like(self.weight) if held is None else held


@dataclass(frozen=True, slots=True)
class Rule:
    """How a weight is stepped. What a family does not use stays as it is."""

    family: str
    """``adam`` or ``sgd``."""
    lr: float
    weight_decay: float = 0.0
    decoupled: bool = False
    """The weight is shrunk by ``lr * weight_decay``; else that is added to the gradient."""
    unscaled: bool = False
    """A decoupled decay is not multiplied by the learning rate."""
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    corrected: bool = True
    """The moments are divided by ``1 - beta**t``."""
    eps_at: str = "outside"
    """Added to the root of the corrected second moment; ``inside`` the root; ``before`` the correction."""
    amsgrad: bool = False
    momentum: float = 0.0
    dampening: float = 0.0
    damped_first: bool = False
    """The first buffer is multiplied by ``1 - momentum``."""
    nesterov: bool = False
    maximize: bool = False
    clip: float = 0.0
    """The total norm that gradients are clipped to before; 0 where they are not."""

    def __call__(self, begin: Begin) -> dict[str, torch.Tensor]:
        """The new weight, and the state that the step leaves."""
        gradient = -begin.gradient if self.maximize else begin.gradient
        if self.clip:
            gradient = gradient * min(1.0, self.clip / (begin.total + 1e-6))
        weight = begin.weight
        if self.decoupled:
            weight = weight * (1 - (1.0 if self.unscaled else self.lr) * self.weight_decay)
        elif self.weight_decay:
            gradient = gradient + self.weight_decay * weight
        return (self._adam if self.family == "adam" else self._sgd)(begin, weight, gradient)

    def _adam(self, begin: Begin, weight: torch.Tensor, gradient: torch.Tensor) -> dict[str, torch.Tensor]:
        first = self.beta1 * begin.moment("exp_avg") + (1 - self.beta1) * gradient
        second = self.beta2 * begin.moment("exp_avg_sq") + (1 - self.beta2) * gradient.square()
        left = {"exp_avg": first, "exp_avg_sq": second, "step": torch.tensor(float(begin.count), dtype=torch.float64)}
        largest = second
        if self.amsgrad:
            largest = left["max_exp_avg_sq"] = torch.maximum(begin.moment("max_exp_avg_sq"), second)
        one = 1 - self.beta1**begin.count if self.corrected else 1.0
        two = 1 - self.beta2**begin.count if self.corrected else 1.0
        if self.eps_at == "inside":
            root = torch.sqrt(largest / two + self.eps)
        elif self.eps_at == "before":
            root = (largest.sqrt() + self.eps) / two**0.5
        else:
            root = (largest / two).sqrt() + self.eps
        return {WEIGHT: weight - self.lr / one * first / root, **left}

    def _sgd(self, begin: Begin, weight: torch.Tensor, gradient: torch.Tensor) -> dict[str, torch.Tensor]:
        left: dict[str, torch.Tensor] = {}
        if self.momentum:
            held = begin.state.get("momentum_buffer")
            first = gradient * (1 - self.momentum) if self.damped_first else gradient
            kept = first if held is None else self.momentum * held + (1 - self.dampening) * gradient
            left["momentum_buffer"] = kept
            gradient = gradient + self.momentum * kept if self.nesterov else kept
        return {WEIGHT: weight - self.lr * gradient, **left}


def rules_of(name: str, settings: Mapping[str, Any]) -> Iterator[Rule]:
    """What an optimizer of this class and these settings may compute, the likeliest first."""
    if not isinstance(settings.get("lr"), (int, float)):
        return
    plain: dict[str, Any] = {
        "lr": float(settings["lr"]),
        "weight_decay": _number(settings, "weight_decay"),
        "maximize": bool(settings.get("maximize")),
    }
    betas = settings.get("betas")
    if isinstance(betas, (list, tuple)) and len(betas) == 2:  # noqa: PLR2004  of the first and the second moment
        decoupled = bool(settings.get("decoupled_weight_decay", "adamw" in name.lower()))
        base = Rule(
            "adam",
            **plain,
            decoupled=decoupled,
            beta1=float(betas[0]),
            beta2=float(betas[1]),
            eps=_number(settings, "eps", 1e-8),
            amsgrad=bool(settings.get("amsgrad")),
        )
        yield base
        yield replace(base, decoupled=not decoupled)
        yield replace(base, corrected=False)
        yield replace(base, corrected=False, decoupled=not decoupled)
    elif betas is None and not settings.keys() & {"alpha", "rho", "lr_decay", "etas", "lambd"}:
        yield Rule(
            "sgd",
            **plain,
            momentum=_number(settings, "momentum"),
            dampening=_number(settings, "dampening"),
            nesterov=bool(settings.get("nesterov")),
        )


def _number(settings: Mapping[str, Any], name: str, otherwise: float = 0.0) -> float:
    value = settings.get(name, otherwise)
    return float(value) if isinstance(value, (int, float)) else otherwise
