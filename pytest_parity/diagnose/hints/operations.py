"""Operations: what a module's code computes, one operation of torch's after the other, and the same with one of them changed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pytest_parity.diagnose.hints.trial import Trial

__all__ = ["Operation", "Rewrite", "Shaped", "traced", "with_rewrite"]

_OWN = (str(Path(torch.__file__).parent), str(Path(__file__).parents[2]))
"""Whose code is passed over to find the line of the user's."""
_TERMS = frozenset({"add", "sub", "mul", "addmm"})
_LARGE = -1e3
"""What masks add where they mask, at most."""


@dataclass(frozen=True, slots=True)
class Shaped:
    """What is kept of a tensor that an operation takes."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    masks: bool = False
    """Zeros, and large negative numbers: it is added to mask."""
    source: str = ""
    """The module's parameter or input that it is, of a term or a factor."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: ``place`` in order, ``name`` as torch calls it, what it takes, and the line that calls for it."""

    place: int
    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    shape: tuple[int, ...] | None
    where: str

    @property
    def tensors(self) -> list[Shaped]:
        """Of its positional arguments."""
        return [one for one in self.args if isinstance(one, Shaped)]

    @property
    def number(self) -> float | None:
        """Its second argument, where that is a plain number."""
        second = self.args[1] if len(self.args) > 1 else None
        return float(second) if isinstance(second, (int, float)) and not isinstance(second, bool) else None


Rewrite = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]
"""Computes something else in an operation's place, from it and what it takes."""


class _Mode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing here is compiled; to be told so costs an import of more than a second."""
        return False


class _Tracing(_Mode):
    def __init__(self, source: Callable[[torch.Tensor], str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[Operation] = []
        self._source = source

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        shape = tuple(found.shape) if isinstance(found, torch.Tensor) else None
        mine = tuple(_shaped(one) for one in args)
        if _name(func).rstrip("_") in _TERMS:
            mine = tuple(
                replace(one, source=self._source(value)) if isinstance(one, Shaped) else one
                for one, value in zip(mine, args, strict=True)
            )
        named = {name: _shaped(one) for name, one in (kwargs or {}).items()}
        self.found.append(Operation(len(self.found), _name(func), mine, named, shape, _line()))
        return found


class _Rewriting(_Mode):
    def __init__(self, places: Mapping[int, tuple[str, Rewrite]], every: Mapping[str, Rewrite]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._places = places
        self._every = every
        self._place = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        own = _name(func)
        name, rewrite = self._places.get(self._place, (own, self._every.get(own)))
        self._place += 1
        if rewrite is None:
            return func(*args, **(kwargs or {}))
        if name != own:
            raise RuntimeError("the module does not compute the same operations again")
        if func._schema.is_mutable and args:  # noqa: SLF001  what it changes is what its caller reads
            found = rewrite(func, (args[0].clone(), *args[1:]), dict(kwargs or {}))
            return args[0].copy_(found)
        return rewrite(func, args, dict(kwargs or {}))


class _Sources:
    """Parameters and inputs by what is in them."""

    def __init__(self, trial: Trial) -> None:
        module = trial.module
        held = {} if module is None else dict(module.named_parameters())
        self._parameters = {one.data_ptr(): f"its {name}" for name, one in held.items()}
        self._inputs = {**trial.specimen.inputs, **trial.specimen.context}

    def name(self, value: torch.Tensor) -> str:
        """``its bias``, ``in.0``; empty where it is neither."""
        found = self._parameters.get(value.data_ptr(), "")
        if found or not value.is_floating_point():
            return found
        alike = (name for name, one in self._inputs.items() if one.shape == value.shape and one.dtype is value.dtype)
        return next((name for name in alike if torch.equal(self._inputs[name], value)), "")


def traced(trial: Trial) -> list[Operation]:
    """What the module computes, where it can be computed anew and gives what it gave."""
    mode = _Tracing(_Sources(trial).name)
    found = trial.run(mode) if trial.faithful else None
    return mode.found if found is not None else []


def with_rewrite(
    trial: Trial, places: Mapping[int, tuple[str, Rewrite]], every: Mapping[str, Rewrite] | None = None
) -> torch.Tensor | None:
    """What the module gives with these operations changed, by their places or all of a name; ``None`` if it raises."""
    try:
        return trial.run(_Rewriting(places, every or {}))
    except (RuntimeError, IndexError, TypeError, ValueError, AttributeError, NotImplementedError, AssertionError):
        return None


def _name(func: Any) -> str:
    return str(func.overloadpacket.__name__)


def _shaped(value: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    masks = value.is_floating_point() and value.numel() > 1 and _is_mask(value)
    return Shaped(tuple(value.shape), value.dtype, masks)


def _is_mask(value: torch.Tensor) -> bool:
    first = value.reshape(-1)[:4096]
    return bool(((first == 0) | (first <= _LARGE)).all()) and bool((value <= _LARGE).any())


def _line() -> str:
    """``model.py:42``: the innermost line that is neither torch's nor ours."""
    frame = sys._getframe(2)  # noqa: SLF001  the only way to a frame without reading all of them
    found: Any = frame
    while found is not None and found.f_code.co_filename.startswith(_OWN):
        found = found.f_back
    return f"{Path(found.f_code.co_filename).name}:{found.f_lineno}" if found is not None else ""
