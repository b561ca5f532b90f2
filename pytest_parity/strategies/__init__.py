"""Hypothesis strategies for the inputs of models, for ``assert_equivalent`` and for tests of one's own.

They shrink towards small sizes, zeros and constants. The values of a tensor come from a drawn seed and not from a draw each,
so a large tensor is as quick as a small one; ``tensors(elements=...)`` draws each. Needs ``pytest-parity[hypothesis]``.
"""

from __future__ import annotations

try:
    import hypothesis as _hypothesis  # noqa: F401
except ModuleNotFoundError as _missing:
    if _missing.name != "hypothesis":
        raise
    raise ModuleNotFoundError(
        "pytest_parity.strategies draws by hypothesis, which is not installed: pip install 'pytest-parity[hypothesis]'",
        name="hypothesis",
    ) from None

from pytest_parity.strategies.batch import batches, causal_masks, lengths, padding_masks, token_ids
from pytest_parity.strategies.shape import Side, any_shapes, shapes, size
from pytest_parity.strategies.tensor import dtypes, edge_values, magnitudes, tensors

__all__ = [
    "Side",
    "any_shapes",
    "batches",
    "causal_masks",
    "dtypes",
    "edge_values",
    "lengths",
    "magnitudes",
    "padding_masks",
    "shapes",
    "size",
    "tensors",
    "token_ids",
]
