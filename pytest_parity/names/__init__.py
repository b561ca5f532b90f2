"""Name maps: what the candidate calls a module or a parameter, and what the reference calls it.

Where the two also cut their tensors differently, a rule says what the candidate's is made of: ``concat``, ``part_of``,
``transposed`` and the others here. Importing this imports no torch.
"""

from __future__ import annotations

from pytest_parity.names.bound import BoundNames
from pytest_parity.names.expression import (
    Expression,
    concat,
    part_of,
    permuted,
    reshaped,
    rotary,
    sliced,
    stack,
    transposed,
    unstacked,
)
from pytest_parity.names.namemap import NameMap, NameSpec

__all__ = [
    "BoundNames",
    "Expression",
    "NameMap",
    "NameSpec",
    "concat",
    "part_of",
    "permuted",
    "reshaped",
    "rotary",
    "sliced",
    "stack",
    "transposed",
    "unstacked",
]
