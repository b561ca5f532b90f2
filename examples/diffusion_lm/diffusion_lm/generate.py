"""Generation: text from a checkpoint of either model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from diffusion_lm import checkpoint, data
from diffusion_lm.checkpoint import CheckpointError
from diffusion_lm.model import LanguageModel

__all__ = ["generate", "main"]


def generate(
    model: LanguageModel,
    *,
    samples: int = 1,
    length: int | None = None,
    prompt: str = "",
    steps: int | None = None,
    temperature: float = 1.0,
    seed: int = 0,
) -> list[str]:
    """Write `samples` texts of `length` bytes (the backbone's `seq_len`), which begin with `prompt`.

    A diffusion unmasks them in `steps` (one for each byte to be written). The same seed writes the same.

    Raises:
        ValueError: the length is above `seq_len`, or the prompt fills it.

    """
    longest = model.backbone.size.seq_len
    length = longest if length is None else length
    given = data.encode(prompt)
    if not len(given) < length <= longest:
        raise ValueError(
            f"the prompt has {len(given)} bytes, the text {length}, and the model writes {longest} at most"
        )
    tokens = torch.zeros(samples, length, dtype=torch.long, device=model.device)
    tokens[:, : len(given)] = given.to(model.device)
    generator = torch.Generator().manual_seed(seed)
    steps = length - len(given) if steps is None else steps
    model.eval()
    written = model.sample(tokens, len(given), steps=steps, temperature=temperature, generator=generator)
    return [data.decode(row) for row in written.cpu()]


def main(words: Sequence[str] | None = None) -> None:
    """Print what a checkpoint's model writes."""
    parser = argparse.ArgumentParser(description="Write text with a trained model, of either kind.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--samples", type=int, default=1)
    parser.add_argument("--length", type=int, help="in bytes, with the prompt (default: --seq_len of the training)")
    parser.add_argument("--prompt", default="")
    parser.add_argument("--steps", type=int, help="of the diffusion (default: one for each byte)")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    options = vars(parser.parse_args(words))
    path, device = options.pop("checkpoint"), options.pop("device")
    try:
        model = checkpoint.rebuilt(checkpoint.load(path)).to(device)
        texts = generate(model, **options)
    except (CheckpointError, ValueError) as error:
        sys.exit(f"error: {error}")
    print("\n---\n".join(texts))
