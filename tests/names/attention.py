"""One attention layer written twice: three projections, or one fused; the same numbers in every step of training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

WIDTH, HEADS = 8, 2
BATCHES = [torch.randn(3, 5, WIDTH, generator=torch.Generator().manual_seed(i)) for i in range(2)]


class Attention(nn.Module):
    def __init__(self, *, fused: bool, order: str = "qkv") -> None:
        super().__init__()
        self.order = order
        if fused:
            self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        else:
            self.q, self.k, self.v = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if hasattr(self, "qkv"):
            parts = dict(zip(self.order, self.qkv(x).chunk(3, dim=-1), strict=True))
        else:
            parts = {name: getattr(self, name)(x) for name in "qkv"}
        q, k, v = (parts[name].unflatten(-1, (HEADS, -1)).transpose(1, 2) for name in "qkv")
        mixed = torch.softmax(q @ k.transpose(-1, -2), dim=-1) @ v
        return self.out(mixed.transpose(1, 2).flatten(2))


class Model(nn.Module):
    def __init__(self, *, fused: bool, order: str = "qkv", seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layers = nn.ModuleList(Attention(fused=fused, order=order) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = x + layer(x)
        return x


def training(
    model: Callable[[], nn.Module],
    *,
    load: bool = True,
    optimizer: Callable[[nn.Module], torch.optim.Optimizer] | None = None,
    edit: Callable[[nn.Module], None] = lambda _model: None,
    **watch: Any,
) -> Callable[[Any], None]:
    """Two steps of AdamW; the module calls are left out, since a fused call has no counterpart."""

    def body(parity: Any) -> None:
        made = model()
        if load:
            parity.load(made, names=watch.get("names"))
        chosen = optimizer(made) if optimizer else torch.optim.AdamW(made.parameters(), lr=1e-2, weight_decay=0.1)
        kinds = ["weight", "output", "loss", "gradient", "optimizer", "updated_weight"]
        with parity.watch(made, optimizer=chosen, **{"kinds": kinds, **watch}) as run:
            for batch in run.steps(BATCHES):
                chosen.zero_grad()
                out = made(batch)
                loss = out.square().mean()
                loss.backward()
                edit(made)
                chosen.step()
                with parity.collect():
                    parity.assert_outputs(out)
                    parity.assert_loss(loss)

    return body
