from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from pytest_parity.golden import Entry, Golden, GoldenWriter
from pytest_parity.site import Kind, Site

Keep = Callable[..., tuple[Golden, list[Entry]]]


@pytest.fixture
def keep(tmp_path: Path) -> Iterator[Keep]:
    """Record tensors as the activations of one step, and open the golden."""
    with ExitStack() as opened:

        def record(*tensors: torch.Tensor | None) -> tuple[Golden, list[Entry]]:
            writer = GoldenWriter(tmp_path, "case")
            for order, tensor in enumerate(tensors):
                writer.write(0, order, Site(Kind.ACTIVATION, f"layer_{order}", 0), tensor)
            writer.finish_step(0, {})
            writer.commit(provenance={}, settings={}, structure={}, history=[])
            golden = opened.enter_context(Golden.find(tmp_path, "case"))
            return golden, list(golden.entries(0))

        yield record
