"""The two cases, one body: what is recorded, what is checked, and what every fault is put into."""

from __future__ import annotations

from collections.abc import Callable

import torch
from diffusion_lm.ar import Autoregressive
from diffusion_lm.backbone import Size
from diffusion_lm.mdlm import MaskedDiffusion
from torch import Tensor, nn, optim

from pytest_parity import Parity

MDLM, AR = "diffusion_lm/mdlm", "diffusion_lm/ar"
SIZE = Size(d_model=16, n_layers=2, n_heads=2, seq_len=8, dropout=0.1)
STEPS = 3
TEXT = b"""The Heron of captain Ada came in from Bergen with salt.
We weighed two casks of salt, and five casks more: seven in all.
Captain Ada has signed for the salt, and the Heron sails at dawn.
"""
ALPHABET = sorted(set(TEXT))
VOCABULARY = len(ALPHABET)
ROWS = 4

OpenSession = Callable[..., Parity]
Apply = Callable[[nn.Module, optim.Optimizer], None]


def build(case: str) -> nn.Module:
    """Build the package's own model of a case."""
    return {MDLM: MaskedDiffusion, AR: Autoregressive}[case](VOCABULARY, SIZE)


def batches() -> list[Tensor]:
    """The text's windows, four a step: (4, 8), int64."""
    starts = torch.arange(STEPS * ROWS) * 13
    text = torch.tensor([ALPHABET.index(byte) for byte in TEXT])
    return list(torch.stack([text[start : start + SIZE.seq_len] for start in starts]).split(ROWS))


def pretrain(parity: Parity, model: nn.Module, *, fault: Apply | None = None) -> None:
    """Train the golden's steps, as `train.py` does: AdamW, warm-up, clipped gradients."""
    parity.load(model)
    optimizer = optim.AdamW(model.parameters(), lr=1e-2)
    schedule = optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / STEPS))
    if fault is not None:
        fault(model, optimizer)
    with parity.watch(model, optimizer=optimizer) as run:
        for tokens in run.steps(batches(), limit=STEPS):
            loss, predicted = model(tokens)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            parity.assert_step(outputs=predicted, loss=loss)
