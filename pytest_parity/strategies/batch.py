"""What batches are made of besides tensors of numbers: lengths, masks, token ids; and whole batches."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from pytest_parity.errors import UsageError
from pytest_parity.strategies.shape import Shape, Side, as_shape, as_side
from pytest_parity.strategies.tensor import SEEDS

__all__ = ["batches", "causal_masks", "lengths", "padding_masks", "token_ids"]


def lengths(batch: Side, longest: Side, *, shortest: int = 1, full: bool = True) -> SearchStrategy[torch.Tensor]:
    """How long each of ``batch`` examples is: int64 of shape ``(batch,)``, from ``shortest`` to ``longest``.

    ``full``: one of them is ``longest``, as in a batch that was padded to it. The others shrink to ``shortest``.
    """
    return _lengths(as_side(batch), as_side(longest), shortest, full)


@st.composite
def _lengths(
    draw: DrawFn, batch: SearchStrategy[int], longest: SearchStrategy[int], shortest: int, full: bool
) -> torch.Tensor:
    count, limit = draw(batch), draw(longest)
    if shortest > limit:
        raise UsageError(f"lengths(shortest={shortest}): the longest example may be {limit}")
    found = draw(st.lists(st.integers(shortest, limit), min_size=count, max_size=count))
    if full and found:
        found[found.index(max(found))] = limit
    return torch.tensor(found, dtype=torch.int64, device="cpu")


def padding_masks(
    examples: SearchStrategy[torch.Tensor],
    longest: Side,
    *,
    invert: bool = False,
    dtype: torch.dtype = torch.bool,
) -> SearchStrategy[torch.Tensor]:
    """The mask of ``examples``, a strategy of ``lengths``: ``(batch, longest)``, true where an example has values.

    ``invert``: true where it is padded, as torch's ``key_padding_mask``. A floating ``dtype`` is 0 where values count
    and -inf elsewhere, to be added to scores. For lengths that the batch has too, ``hypothesis.strategies.shared``.
    """
    if not isinstance(examples, SearchStrategy):
        raise UsageError("padding_masks: the first argument is a strategy of lengths, as lengths(4, size('time'))")

    def mask(drawn: tuple[torch.Tensor, int]) -> torch.Tensor:
        given, width = drawn
        return _marked(torch.arange(width, device="cpu") < given[:, None], invert=invert, dtype=dtype)

    return st.tuples(examples, as_side(longest)).map(mask)


def causal_masks(
    longest: Side, *, invert: bool = False, dtype: torch.dtype = torch.bool
) -> SearchStrategy[torch.Tensor]:
    """``(longest, longest)``, true on and below the diagonal: a position sees itself and what is before it.

    ``invert`` and ``dtype`` as in ``padding_masks``.
    """

    def mask(width: int) -> torch.Tensor:
        return _marked(torch.ones(width, width, dtype=torch.bool, device="cpu").tril(), invert=invert, dtype=dtype)

    return as_side(longest).map(mask)


def token_ids(
    shape: Shape | tuple[Side, ...] | list[Side], vocabulary: int, *, dtype: torch.dtype = torch.int64
) -> SearchStrategy[torch.Tensor]:
    """Ids from 0 to ``vocabulary - 1``, the last among them; shrinks to zeros."""
    if vocabulary < 1:
        raise UsageError(f"token_ids(vocabulary={vocabulary}): there is at least 1 token")
    return _token_ids(as_shape(shape), vocabulary, dtype)


@st.composite
def _token_ids(draw: DrawFn, sizes: Shape, vocabulary: int, dtype: torch.dtype) -> torch.Tensor:
    shape = draw(sizes)
    count = math.prod(shape)
    ids = np.zeros(count, dtype=np.int64)
    if draw(st.sampled_from(("zeros", "random", "random", "random"))) == "random":
        ids = np.random.default_rng(draw(SEEDS)).integers(0, vocabulary, count)
    if count:
        for place in draw(st.lists(st.integers(0, count - 1), max_size=2)):
            ids[place] = vocabulary - 1
    return torch.from_numpy(ids).to(dtype).reshape(shape)


def batches(tree: Any) -> SearchStrategy[Any]:
    """A dict, list or tuple whose values are strategies, plain values, or such trees themselves.

    ``batches({"x": tensors((size("batch"), 4)), "training": True})``.
    """
    if isinstance(tree, SearchStrategy):
        return tree
    if isinstance(tree, Mapping):
        return st.fixed_dictionaries({name: batches(value) for name, value in tree.items()})
    if isinstance(tree, tuple):
        return st.tuples(*map(batches, tree))
    if isinstance(tree, list):
        return st.tuples(*map(batches, tree)).map(list)
    if isinstance(tree, torch.Tensor):
        return st.builds(tree.clone)
    return st.just(tree)


def _marked(kept: torch.Tensor, *, invert: bool, dtype: torch.dtype) -> torch.Tensor:
    if dtype.is_floating_point:
        return torch.zeros(kept.shape, dtype=dtype, device="cpu").masked_fill_(kept if invert else ~kept, -math.inf)
    return (~kept if invert else kept).to(dtype)
