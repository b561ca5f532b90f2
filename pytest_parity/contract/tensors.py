"""What a structure is made of: parameters, buffers and modules by path, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import prod
from typing import Any

__all__ = ["Structure", "TensorInfo"]


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One parameter or buffer; ``aliases`` are the further names of a tied one, ``dtype`` is ``float32`` and the like."""

    shape: tuple[int, ...]
    dtype: str
    trainable: bool
    aliases: tuple[str, ...] = ()

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class Structure:
    """Parameters and persistent buffers by path, tied tensors once; modules by path, under every name that they have."""

    parameters: dict[str, TensorInfo]
    buffers: dict[str, TensorInfo]
    modules: dict[str, str]
    """Path to the class's name, the root under ``(model)``; containers that are never called too."""
    constants: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Path of a module to its plain attributes, for those that have some; empty in goldens that never told."""

    @property
    def tensors(self) -> dict[str, TensorInfo]:
        """Parameters, then buffers."""
        return {**self.parameters, **self.buffers}

    @property
    def all_names(self) -> tuple[str, ...]:
        """Every path that a name map is bound to: modules, parameters, buffers; no aliases of tensors."""
        return (*self.modules, *self.parameters, *self.buffers)

    @property
    def tensor_aliases(self) -> dict[str, str]:
        """Each further name of a tied tensor, with the one that stands for it."""
        return {alias: path for path, info in self.tensors.items() for alias in info.aliases}

    @property
    def count(self) -> int:
        """Elements of all parameters."""
        return sum(info.elements for info in self.parameters.values())

    @property
    def trainable_count(self) -> int:
        """Elements of the parameters that train."""
        return sum(info.elements for info in self.parameters.values() if info.trainable)

    def describe_counts(self) -> str:
        """``113,106,000 parameters, 112,964,608 train``."""
        return f"{self.count:,} parameters, {self.trainable_count:,} train"

    def to_plain(self) -> dict[str, Any]:
        """As dictionaries, lists, strings and numbers only."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Structure:
        """The inverse of ``to_plain``, also after a round trip through JSON."""
        return cls(
            parameters={name: _info(info) for name, info in plain["parameters"].items()},
            buffers={name: _info(info) for name, info in plain["buffers"].items()},
            modules=dict(plain["modules"]),
            constants=dict(plain.get("constants", {})),
        )


def _info(plain: Mapping[str, Any]) -> TensorInfo:
    return TensorInfo(tuple(plain["shape"]), plain["dtype"], plain["trainable"], tuple(plain["aliases"]))
