"""Projection: the loss of a pair that names none, in which every element of every output has a part of its own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any

import torch

from pytest_parity.capture import leaves
from pytest_parity.compare.region import Region, match
from pytest_parity.site import Kind, Site

__all__ = ["projection"]


def projection(out: Any, seed: int, regions: Mapping[str, Region]) -> torch.Tensor | None:
    """``sum(w * out) / sqrt(n)`` over the floating outputs: a scalar, float64 where one of them is, else float32.

    The weights ``w`` have magnitudes between 0.5 and 1.5 and random signs, drawn by the seed and the output's path, so
    that no element is without a gradient and no two errors cancel by design. Elements outside of a valid region and
    values that are not finite have no part. ``None`` where no output is floating.
    """
    parts = list(_parts(out, seed, regions))
    if not parts:
        return None
    wide = any(part.dtype is torch.float64 for part, _ in parts)
    total = torch.stack([_sum(values, weights).to(parts[0][0].device) for values, weights in parts]).sum()
    return total.double() if wide else total.float()


def _parts(out: Any, seed: int, regions: Mapping[str, Region]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for leaf, tensor in leaves(out, "out"):
        if tensor is None or not (tensor.is_floating_point() or tensor.is_complex()) or not tensor.numel():
            continue
        values = torch.view_as_real(tensor) if tensor.is_complex() else tensor
        weights = _weights(values.shape, f"{seed}|{leaf}")
        region = match(regions, Site(Kind.OUTPUT, "outputs", leaf="" if tensor is out else leaf), tensor.shape)
        if region is not None:
            mask = region.mask(tensor.shape)
            weights = weights * (mask[..., None] if tensor.is_complex() else mask)
        yield values, weights


def _weights(shape: torch.Size, name: str) -> torch.Tensor:
    key = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little") >> 1
    drawn = torch.empty(shape, device="cpu").uniform_(-1.0, 1.0, generator=torch.Generator("cpu").manual_seed(key))
    return (drawn + torch.where(drawn < 0, -0.5, 0.5)) / math.sqrt(drawn.numel())


def _sum(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    work = torch.float32 if values.device.type == "mps" else torch.float64
    finite = torch.where(torch.isfinite(values), values, torch.zeros((), dtype=values.dtype, device=values.device))
    return (finite.to(work) * weights.to(values.device, work)).sum()
