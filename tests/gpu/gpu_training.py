"""A training loop that runs on any device: convolution, normalisations, attention's products and dropout, no kinks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from pytest_parity.session.parity import Parity

CHANNELS, WIDTH, LENGTH, EXAMPLES = 8, 32, 24, 4
FLOAT32 = {
    "activation": (1e-4, 1e-5),
    "input": (1e-4, 1e-5),
    "output": (1e-4, 1e-5),
    "loss": (1e-5, 1e-6),
    "activation_gradient": (1e-3, 1e-6),
    "gradient": (1e-3, 1e-6),
    "optimizer": (1e-3, 1e-6),
}
"""Between devices, TF32 off: sums of at most 128 float32 products are added in another order (128 * 6e-8 at worst is
8e-6 of the largest term), and ``erf`` and ``exp`` differ by a few units in the last place. Gradients are up to 3e-1, and
that of the convolution's bias is zero but for rounding, as a batch normalisation follows: hence their absolute 1e-6."""
TF32 = {
    "activation": (1e-2, 1e-2),
    "input": (1e-2, 1e-2),
    "output": (1e-2, 1e-2),
    "loss": (5e-3, 0.0),
    "activation_gradient": (2e-2, 1e-4),
    "gradient": (2e-2, 1e-3),
    "optimizer": (2e-2, 1e-4),
    "updated_weight/*.running_*": (1e-2, 1e-4),
}
"""With TF32, the factors of a product are rounded to 10 bits (half a unit is 4.9e-4 of each). With factors rounded so on
a CPU (``test_gpu_tolerances``) activations of at most 4.7 moved by 2.2e-3, activation gradients of 2.1e-2 by 9.4e-6,
gradients of 3.1e-1 by 1.3e-4, optimizer states of 3.2e-2 by 1.3e-5 and the running variance by 1.2e-5; a device adds in
another order besides, and five times as much is allowed."""


class Attention(nn.Module):
    """One head, without positions."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        scores = self.query(x) @ self.key(x).transpose(1, 2) / WIDTH**0.5
        return scores.softmax(-1) @ self.value(x)


class Net(nn.Module):
    """Audio-like input of shape (examples, channels, length) to 4 numbers a position."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.mask = nn.Dropout(dropout)
        self.conv = nn.Conv1d(CHANNELS, WIDTH, 5, padding=2)
        self.batch_norm = nn.BatchNorm1d(WIDTH)
        self.act = nn.GELU()
        self.attention = Attention()
        self.drop = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.act(self.batch_norm(self.conv(self.mask(x)))).transpose(1, 2)
        return self.head(self.norm(h + self.drop(self.attention(h))))


@dataclass
class Training:
    """A test's body: trains a ``Net`` on ``device``. ``fault`` edits the model before, ``seen`` has every batch."""

    device: str
    dropout: float = 0.0
    tolerances: dict[str, tuple[float, float]] = field(default_factory=dict)
    kinds: list[str] | None = None
    optimizer: dict[str, Any] = field(default_factory=dict)
    fault: Callable[[Net], object] = lambda _: None
    keep: list[int] | None = None
    steps: int = 3
    seen: list[Any] = field(default_factory=list)
    states: list[dict[str, Tensor]] = field(default_factory=list)
    """The first parameter's optimizer state at the start of each step that has one."""

    def __call__(self, parity: Parity) -> None:
        model = parity.load(Net(self.dropout).to(self.device))
        self.fault(model)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, **self.optimizer)
        watch = parity.watch(model, optimizer=optimizer, kinds=self.kinds, tolerances=self.tolerances)
        with watch as run:
            for batch in run.steps(self._loader(), limit=self.steps, keep=self.keep):
                self.seen.append(batch)
                state = optimizer.state.get(model.conv.weight, {})
                self.states.append({name: value.clone() for name, value in state.items()})
                out = model(batch["x"])
                loss = (out - batch["y"]).square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                parity.assert_step(outputs=out, loss=loss)

    def _loader(self) -> Iterator[dict[str, Tensor]]:
        while True:
            yield {
                "x": torch.randn(EXAMPLES, CHANNELS, LENGTH, device=self.device),
                "y": torch.randn(EXAMPLES, LENGTH, 4, device=self.device),
            }


@contextmanager
def tf32(*, on: bool) -> Iterator[None]:
    """Switch TF32 in matrix products and in convolutions; torch's own default has it on in convolutions alone."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = on
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
