from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pytest_parity.golden import GoldenWriter
from pytest_parity.site import Kind, Site

Record = Callable[..., Path]


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """Records a small golden: two steps of two activations, a loss, a missing gradient, a large one, and weights."""

    def run(case: str = "nest/tiny", *, scale: float = 1.0, steps: int = 2, root: Path = tmp_path) -> Path:
        torch.manual_seed(0)
        writer = GoldenWriter(root, case)
        weight = torch.randn(64)
        for step in range(steps):
            writer.write(step, 0, Site(Kind.WEIGHT, "lin.weight"), weight)
            writer.write(step, 1, Site(Kind.ACTIVATION, "lin", 0, "out"), scale * torch.randn(4, 8))
            writer.write(step, 2, Site(Kind.ACTIVATION, "lin", 1, "out"), torch.arange(5))
            writer.write(step, 3, Site(Kind.LOSS, "loss"), torch.tensor(float("nan")))
            writer.write(step, 4, Site(Kind.GRADIENT, "unused"), None)
            writer.write(step, 5, Site(Kind.GRADIENT, "lin.weight"), scale * torch.randn(300, 300))
            weight = weight + scale
            writer.write(step, 6, Site(Kind.UPDATED_WEIGHT, "lin.weight"), weight)
            writer.finish_step(step, {"loss": float("nan"), "lengths": [3, 5]})
        return writer.commit(
            provenance={"torch": "2"}, settings={"seed": 0, "noise": float("inf")}, structure={}, history=[]
        )

    return run
