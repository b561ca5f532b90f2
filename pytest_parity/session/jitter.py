"""Jitter: every value that an operation computes, forward and backward, moved by one unit in the last place.

Weights and inputs that are moved do not show each rounding: a softmax that saturates gives the same probabilities, and
what its gradient cancels against is lost. On a few numbers, as a search has them, nothing averages that out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pytest_parity.capture import leaves

__all__ = ["Jitter"]

_NAMES = """
_to_copy abs amax amin bernoulli cat ceil clamp clamp_max clamp_min clone constant_pad_nd copy copysign detach diag
embedding empty empty_like empty_strided expand_copy flip floor full full_like gather index index_select lift_fresh
masked_fill masked_scatter max max_pool2d_with_indices maximum median min minimum native_dropout neg new_empty
new_empty_strided new_full new_ones new_zeros ones ones_like rand rand_like randint randn randn_like relu repeat roll
round scatter select_backward select_scatter sign slice_backward slice_scatter sort stack threshold_backward topk
tril triu trunc unfold_copy view_copy where zeros zeros_like
"""
_EXACT = frozenset(_NAMES.split())
"""Operations that round nothing: they select, copy, fill or draw."""

_MOVED = frozenset({torch.float32, torch.float64})
"""In a narrower dtype weights and inputs that are moved show roundings enough, and hide faults as it is."""


class Jitter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is entered, ``move`` is given each floating result by a name that is the same in every run of a body."""

    def __init__(self, move: Callable[[torch.Tensor, str], torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._move = move
        self._count = 0
        self._paused = False

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Nothing is moved inside: what observes is no part of what is observed."""
        before, self._paused = self._paused, True
        try:
            yield
        finally:
            self._paused = before

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operation, and move what it has computed and nothing else holds."""
        found = func(*args, **(kwargs or {}))
        if self._paused or func.overloadpacket.__name__ in _EXACT:
            return found
        fresh = all(result.alias_info is None for result in func._schema.returns)  # noqa: SLF001  no view, nothing in place
        for _, tensor in leaves(found) if fresh else ():
            if tensor is not None and tensor.dtype in _MOVED and tensor.layout is torch.strided:
                self._count += 1
                tensor.copy_(self._move(tensor, f"operation {self._count}"))
        return found
