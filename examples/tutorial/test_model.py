"""The same test records the reference and checks the candidate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from model import make_model

if TYPE_CHECKING:
    from pytest_parity import Parity


def test_training(parity: Parity) -> None:
    model = parity.load(make_model())  # checking: takes the reference's weights
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    loader = (torch.randint(100, (8, 17)) for _ in range(3))
    with parity.watch(model, optimizer=optimizer) as run:
        for words in run.steps(loader):  # checking: yields the reference's batches
            logits = model(words[:, :-1])
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), words[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            parity.assert_step(outputs=logits, loss=loss)
