"""Optimizers as people write them, each with one mistake that no setting shows."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

__all__ = ["Decaying", "HandWritten", "Momentum"]


class HandWritten(torch.optim.Optimizer):
    """AdamW as someone wrote it, with one mistake; its settings are the reference's."""

    def __init__(self, parameters: Any, mistake: str = "", **settings: Any) -> None:
        defaults = {"lr": 1e-2, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.05}
        super().__init__(parameters, {**defaults, **settings})
        self.mistake = mistake

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        if self.mistake == "clips":
            nn.utils.clip_grad_norm_([one for group in self.param_groups for one in group["params"]], 0.1)
        for place, group in enumerate(self.param_groups):
            for parameter in group["params"]:
                self.one(parameter, {**group, "place": place})

    def one(self, parameter: torch.Tensor, group: dict[str, Any]) -> None:
        mistake, state = self.mistake, self.state[parameter]
        given = {"beta1": {"betas": (0.8, 0.999)}, "beta2": {"betas": (0.9, 0.99)}, "swapped": {"betas": (0.999, 0.9)}}
        given |= {"lr": {"lr": 0.015}, "decay": {"weight_decay": 0.1}, "eps": {"eps": 1e-6}}
        given |= {"group": {"lr": 0.03} if group["place"] == 1 else {}}
        group = {**group, **given.get(mistake, {})}
        (beta1, beta2), lr, decay = group["betas"], group["lr"], group["weight_decay"]
        gradient = -parameter.grad if mistake == "sign" else parameter.grad.clone()
        if mistake == "noise":
            gradient += 0.1 * torch.randn(gradient.shape, generator=torch.Generator().manual_seed(0)) * gradient.abs()
        if not state:
            state.update(step=torch.tensor(0.0), exp_avg=torch.zeros_like(parameter))
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        state["step"] += 1
        if mistake == "coupled":
            gradient = gradient + decay * parameter
        elif mistake == "unscaled":
            parameter.mul_(1 - decay)
        elif mistake != "no decay" and not (mistake == "no decay of vectors" and parameter.dim() == 1):
            parameter.mul_(1 - lr * decay)
        state["exp_avg"].mul_(beta1).add_(gradient, alpha=1 - beta1)
        state["exp_avg_sq"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        count = state["step"].item()
        one, two = (1 - beta1**count, 1 - beta2**count) if mistake != "uncorrected" else (1.0, 1.0)
        root = (state["exp_avg_sq"] / two).sqrt() + group["eps"]
        if mistake == "inside":
            root = (state["exp_avg_sq"] / two + group["eps"]).sqrt()
        if mistake == "before":
            root = (state["exp_avg_sq"].sqrt() + group["eps"]) / two**0.5
        parameter.addcdiv_(state["exp_avg"] / one, root, value=-lr)


class Momentum(torch.optim.Optimizer):
    """SGD with momentum as someone wrote it."""

    def __init__(self, parameters: Any, mistake: str = "") -> None:
        super().__init__(
            parameters, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "dampening": 0, "nesterov": False}
        )
        self.mistake = mistake

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        mistake = self.mistake
        if mistake == "clips":
            nn.utils.clip_grad_norm_([one for group in self.param_groups for one in group["params"]], 0.1)
        momentum = 0.8 if mistake == "momentum" else 0.9
        damped = 1 - momentum if mistake == "damped" else 1.0
        for parameter in self.param_groups[0]["params"]:
            gradient, state = parameter.grad.clone(), self.state[parameter]
            if mistake == "decoupled":
                parameter.mul_(1 - 0.1 * 0.01)
            elif mistake != "no decay":
                gradient = gradient + 0.01 * parameter
            if mistake != "no momentum":
                held = state.get("momentum_buffer")
                kept = gradient * damped if held is None else held * momentum + gradient * damped
                state["momentum_buffer"] = kept
                gradient = gradient + momentum * kept if mistake == "nesterov" else kept
            parameter.add_(gradient, alpha=-0.2 if mistake == "lr" else -0.1)


class Decaying(torch.optim.RMSprop):
    """Shrinks the weights, and no setting says so."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for parameter in self.param_groups[0]["params"]:
            parameter.mul_(1 - 1e-4)
        super().step()
