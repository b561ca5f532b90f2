"""AdamW and the Noam schedule."""

from __future__ import annotations

import math
from collections.abc import Iterable

from omegaconf import DictConfig
from torch import nn, optim
from torch.optim.lr_scheduler import LRScheduler


class NoamAnnealing(LRScheduler):
    """Linear warm-up, then decay with the inverse square root (https://arxiv.org/abs/1706.03762, equation 3).

    rate(n) = lr * d_model**-0.5 * min(n**-0.5, n * warmup_steps**-1.5), at least `min_lr` after the warm-up. The first
    two optimizer steps are both made at rate(1).

    Args:
        optimizer: the optimizer, whose `lr` is the schedule's factor.
        d_model: size of a token.
        warmup_steps: steps until the peak; 0 for none.
        min_lr: lower bound after the warm-up.

    """

    def __init__(self, optimizer: optim.Optimizer, *, d_model: int, warmup_steps: int, min_lr: float = 0.0) -> None:
        self.scale = math.pow(d_model, -0.5)
        self.warmup_steps = warmup_steps
        self.min_lr = min_lr
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:  # type: ignore[override]  # torch allows tensors too
        """Give each group's rate at the current step."""
        return [self.rate(float(base)) for base in self.base_lrs]

    def rate(self, base: float) -> float:
        """Give the rate at the current step for one group's `lr`."""
        step = max(1, self.last_epoch)
        factor = math.pow(step, -0.5)
        if self.warmup_steps > 0:
            factor = min(factor, step * math.pow(self.warmup_steps, -1.5))
        rate = base * (self.scale * factor)
        return max(rate, self.min_lr) if step > self.warmup_steps else rate


def build_optimizer(model: nn.Module, cfg: DictConfig) -> tuple[optim.AdamW, NoamAnnealing]:
    """Build the optimizer and its schedule, to be stepped after each optimizer step.

    All parameters are in one group, frozen ones too: AdamW skips what has no gradient.

    Args:
        model: the model.
        cfg: the section `model.optim` of the configuration.

    Raises:
        ValueError: if the section names another optimizer or schedule.

    """
    names = (cfg.name, cfg.sched.name)
    if names != ("adamw", "NoamAnnealing"):
        raise ValueError(f"model.optim asks for {names[0]} with {names[1]}; nest_ssl has adamw with NoamAnnealing")
    parameters: Iterable[nn.Parameter] = model.parameters()
    optimizer = optim.AdamW(parameters, lr=cfg.lr, betas=tuple(cfg.betas), weight_decay=cfg.weight_decay)
    schedule = NoamAnnealing(
        optimizer, d_model=cfg.sched.d_model, warmup_steps=cfg.sched.warmup_steps, min_lr=cfg.sched.min_lr
    )
    return optimizer, schedule
