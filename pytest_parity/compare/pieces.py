"""Pieces: any tensor as flat, contiguous CPU tensors of bounded size, in memory that is used again."""

from __future__ import annotations

from collections.abc import Iterator

import torch

__all__ = ["Pieces", "Scratch"]


class Scratch:
    """Named work buffers in the CPU's memory that grow to what was asked for and are used again.

    A buffer holds its content until the same name is taken again.
    """

    _VIEWS = 512

    def __init__(self) -> None:
        self._bytes: dict[str, torch.Tensor] = {}
        self._views: dict[tuple[str, torch.dtype, int], torch.Tensor] = {}

    def take(self, name: str, dtype: torch.dtype, elements: int) -> torch.Tensor:
        """The flat buffer ``name`` as ``elements`` of ``dtype``, with whatever was in it."""
        view = self._views.get((name, dtype, elements))
        return self._make(name, dtype, elements) if view is None else view

    def _make(self, name: str, dtype: torch.dtype, elements: int) -> torch.Tensor:
        size = elements * dtype.itemsize
        with torch.inference_mode(mode=False):
            held = self._bytes.get(name)
            if held is None or held.numel() < size:
                held = self._bytes[name] = torch.empty(size, dtype=torch.uint8, device="cpu")
                self._views = {key: view for key, view in self._views.items() if key[0] != name}
            if len(self._views) >= self._VIEWS:
                self._views.clear()
            view = self._views[name, dtype, elements] = held[:size].view(dtype)
        return view


class Pieces:
    """A tensor in row-major order, as flat pieces.

    A piece of a contiguous CPU tensor is a view of it. Of any other (strided, expanded, conjugated, on a device) it is
    a copy into a scratch buffer that the next piece overwrites; only that piece is copied.
    """

    def __init__(self, tensor: torch.Tensor, scratch: Scratch, name: str = "piece") -> None:
        tensor = tensor.detach()
        if tensor.layout is not torch.strided:
            tensor = tensor.to_dense()
        self._tensor = tensor
        self._scratch = scratch
        self._name = name
        self._direct = (
            tensor.view(-1)
            if tensor.is_contiguous() and tensor.is_cpu and not tensor.is_conj() and not tensor.is_neg()
            else None
        )
        self.elements = tensor.numel()

    def take(self, start: int, stop: int) -> torch.Tensor:
        """Elements ``start`` to ``stop`` (not included)."""
        if self._direct is not None:
            return self._direct if stop - start == self.elements else self._direct[start:stop]
        piece = self._scratch.take(self._name, self._tensor.dtype, stop - start)
        _copy(self._tensor, start, stop, piece)
        return piece

    def of(self, elements: int) -> Iterator[torch.Tensor]:
        """All of it, at most ``elements`` at a time."""
        for start in range(0, self.elements, elements):
            yield self.take(start, min(start + elements, self.elements))


def _copy(tensor: torch.Tensor, start: int, stop: int, out: torch.Tensor) -> None:
    """Copy a flat range into ``out``: whole rows at once, and what is left of the first and the last row by itself."""
    if start == 0 and stop == tensor.numel():
        out.view(tensor.shape).copy_(tensor)
        return
    row = tensor[0].numel()
    first, skip = divmod(start, row)
    last, rest = divmod(stop, row)
    if first == last:
        _copy(tensor[first], skip, rest, out)
        return
    done = 0
    if skip:
        done = row - skip
        _copy(tensor[first], skip, row, out[:done])
        first += 1
    if last > first:
        body = out[done : done + (last - first) * row]
        body.view(last - first, *tensor.shape[1:]).copy_(tensor[first:last])
        done += body.numel()
    if rest:
        _copy(tensor[last], 0, rest, out[done:])
