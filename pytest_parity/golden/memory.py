"""Memory: a tensor's bytes as they lie, without a copy where it is contiguous and on the CPU."""

from __future__ import annotations

import ctypes

import torch

from pytest_parity.golden.digest import digest

__all__ = ["SMALL", "buffer_of", "dense", "is_plain", "tensor_digest"]

SMALL = 256 << 10
"""Tensors up to this many bytes are copied into a staging area; larger ones are written from where they lie."""


def is_plain(value: torch.Tensor) -> bool:
    """Whether the tensor's bytes can be read at its ``data_ptr``, in order."""
    return (
        value.layout is torch.strided
        and value.is_cpu
        and value.is_contiguous()
        and not value.is_conj()
        and not value.is_neg()
        and value.data_ptr() != 0
    )


def dense(value: torch.Tensor) -> torch.Tensor:
    """A contiguous tensor on the CPU with the same values; a sparse one is densified.

    Raises ``RuntimeError`` or ``TypeError`` on one that has no bytes, as on the meta device.
    """
    with torch.no_grad():
        value = value.detach()
        value = value.cpu() if value.layout is torch.strided else value.to_dense().cpu()
        value = value.resolve_conj().resolve_neg().contiguous()
        if value._is_zerotensor():  # noqa: SLF001 - autograd's own zeros, which have no storage; nothing public tells
            value = value.clone()
    if value.numel() and value.data_ptr() == 0:
        raise TypeError(f"a {type(value).__name__} of shape {list(value.shape)} has no bytes of its own")
    return value


def buffer_of(value: torch.Tensor) -> bytes | memoryview:
    """The bytes of a plain tensor: a copy of a small one, a view of a large one (valid while the tensor lives)."""
    size = value.nbytes
    if size <= SMALL:
        return ctypes.string_at(value.data_ptr(), size) if size else b""
    return memoryview((ctypes.c_ubyte * size).from_address(value.data_ptr())).cast("B")


def tensor_digest(value: torch.Tensor) -> str:
    """The digest of a tensor's bytes; one on another device is copied to the CPU for it."""
    value = value if is_plain(value) else dense(value)
    return digest(buffer_of(value))
