"""Padding: the padded tensors of a batch, with noise in the place of what is not valid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

import torch

from pytest_parity.capture import leaves
from pytest_parity.compare.region import Region
from pytest_parity.compare.valid import Valid, resolve
from pytest_parity.errors import UsageError

__all__ = ["PaddedBatch"]


class PaddedBatch:
    """The padded tensors of a batch, which are changed where they lie, and put back."""

    def __init__(self, batch: Any, padded: Mapping[str, Valid]) -> None:
        regions = resolve(padded, batch)
        tensors = [(path, tensor) for path, tensor in leaves(batch) if tensor is not None]
        self._padded: list[tuple[str, torch.Tensor, torch.Tensor]] = []
        met: set[str] = set()
        for path, tensor in tensors:
            patterns = [one for one in regions if fnmatchcase(path, one) and regions[one].has_dims(tensor.dim())]
            met.update(patterns)
            if patterns and tensor.dtype is not torch.bool:
                what = path or "the batch"
                inside = _mask(regions[patterns[-1]], tensor, f"padded {patterns[-1]!r}, {what}")
                _check_writable(what, tensor)
                self._padded.append((what, tensor, inside.to(tensor.device)))
        names = ", ".join(f"{path or '(the batch itself)'} {tuple(one.shape)}" for path, one in tensors) or "no tensor"
        for pattern in regions:
            if pattern not in met:
                raise UsageError(
                    f"assert_no_leak: padded {pattern!r} matches no tensor of the batch that has the dimensions it is about; "
                    f"it has {names}"
                )
        if all(bool(inside.all()) for _, _, inside in self._padded):
            raise UsageError(
                "assert_no_leak: there is no padding to change: every position of what is padded is valid, or boolean. "
                "Give a batch whose examples are not all of one length"
            )

    @contextmanager
    def noise(self, magnitude: float, seed: int) -> Iterator[None]:
        """Put noise into the padding."""
        generator = torch.Generator().manual_seed(seed)
        originals = [tensor.detach().clone() for _, tensor, _ in self._padded]
        try:
            with torch.no_grad():
                for (path, tensor, inside), original in zip(self._padded, originals, strict=True):
                    tensor.copy_(torch.where(inside, original, _noise(original, inside, magnitude, generator)))
                    _check_changed(path, tensor, original, inside)
            yield
        finally:
            with torch.no_grad():
                for (_, tensor, _), original in zip(self._padded, originals, strict=True):
                    tensor.copy_(original)


def _check_writable(path: str, tensor: torch.Tensor) -> None:
    try:
        with torch.no_grad():
            tensor.copy_(tensor.clone())
    except RuntimeError as error:
        reason = str(error).partition(". ")[0]
        raise UsageError(f"assert_no_leak: {path} cannot be written to; give a clone of it: {reason}") from None


def _check_changed(path: str, tensor: torch.Tensor, original: torch.Tensor, inside: torch.Tensor) -> None:
    if torch.equal(tensor, original) and not bool(inside.all()):
        raise UsageError(
            f"assert_no_leak: the padding of {path} is as it was: there is no other value among the valid ones to put there. "
            "Give a batch with more than one"
        )


def _noise(tensor: torch.Tensor, inside: torch.Tensor, magnitude: float, generator: torch.Generator) -> torch.Tensor:
    valid = tensor[inside]
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return _others(tensor, torch.unique(valid), generator)
    known = valid[torch.isfinite(valid)].abs().double()
    scale = float(known.square().mean().sqrt()) if known.numel() else 0.0
    wide = torch.complex128 if tensor.is_complex() else torch.float64
    noise = torch.randn(tensor.shape, generator=generator, dtype=wide).mul_(magnitude * (scale or 1.0))
    if not tensor.is_complex():
        noise.clamp_(-torch.finfo(tensor.dtype).max / 4, torch.finfo(tensor.dtype).max / 4)
    return noise.to(device=tensor.device, dtype=tensor.dtype)


def _others(tensor: torch.Tensor, values: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Values (sorted, each once) in the place of a tensor's integers, none of them where it is already."""
    drawn = torch.randint(values.numel(), tensor.shape, generator=generator).to(tensor.device)
    return values[torch.where(values[drawn] == tensor, (drawn + 1) % values.numel(), drawn)]


def _mask(region: Region, tensor: torch.Tensor, what: str) -> torch.Tensor:
    try:
        return region.mask(tensor.shape)
    except UsageError as error:
        raise UsageError(f"assert_no_leak: {what}: {error}") from None
