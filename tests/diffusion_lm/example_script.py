"""Where the example is, and how small its models are here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "diffusion_lm"
SMALL = ["--seq_len=16", "--batch_size=8", "--d_model=16", "--n_layers=1", "--n_heads=2", "--device=cpu", "--warmup=3"]
"""Of the text that there is, 8 steps an epoch."""

Script = Callable[..., None]
"""Runs a script by its name, with the words of a command line."""
