"""Survey: which modules a step calls, in order, by whom, and what they return."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from benchmarks.faults.workloads import ONE, Trial

__all__ = ["Call", "Survey"]

ROOT = "(model)"


@dataclass
class Call:
    """A module's first call."""

    path: str
    module: nn.Module
    parent: str
    before: str
    """The child that its parent called last before it; empty: none."""
    given: Tensor | None = None
    sources: frozenset[str] = frozenset()
    """The calls that have returned what is given, as it is; else, of a parent's first child, what its parent is given."""
    made: frozenset[str] = frozenset()
    """The calls that have returned any of its arguments."""
    returned: Tensor | None = None
    times: int = 1

    @property
    def leaf(self) -> bool:
        """Whether it calls no other module."""
        return not any(True for _ in self.module.children())

    @property
    def floats(self) -> bool:
        """Whether a floating tensor comes out that a gradient flows through."""
        return self.returned is not None and self.returned.is_floating_point() and self.returned.requires_grad


def _first(value: Any) -> Tensor | None:
    value = value[0] if isinstance(value, tuple) and value else value
    return value if isinstance(value, Tensor) else None


@dataclass
class Survey:
    """The calls of one step of a case, by path, in the order in which they begin."""

    case: Trial
    calls: dict[str, Call] = field(default_factory=dict)
    modules: dict[str, nn.Module] = field(default_factory=dict)
    optimizer: Any = None
    _open: list[tuple[str, list[str]]] = field(default_factory=list)

    @classmethod
    def of(cls, case: Trial) -> Survey:
        """Run a step."""
        survey = cls(case)
        candidate = case.candidate(ONE)
        survey.modules = dict(candidate.model.named_modules())
        survey.optimizer = candidate.optimizer
        survey._open.append((ROOT, []))
        for path, module in survey.modules.items():
            if path:
                module.register_forward_pre_hook(survey._enter(path))
                module.register_forward_hook(survey._leave(path))
        candidate.step(candidate.model, case.batches()[0])
        return survey

    def _enter(self, path: str) -> Any:
        def hook(module: nn.Module, args: Any) -> None:
            parent, called = self._open[-1]
            if path in self.calls:
                self.calls[path].times += 1
            else:
                sources = self._made(args[:1])
                if not sources and not called and parent in self.calls:
                    sources = self.calls[parent].made
                before = called[-1] if called else ""
                self.calls[path] = Call(
                    path, module, parent, before, given=_first(args), sources=sources, made=self._made(args)
                )
            called.append(path)
            self._open.append((path, []))

        return hook

    def _made(self, args: Any) -> frozenset[str]:
        given = {id(one) for one in args if isinstance(one, Tensor)}
        return frozenset(path for path, call in self.calls.items() if id(call.returned) in given)

    def _leave(self, path: str) -> Any:
        def hook(_module: nn.Module, _args: Any, output: Any) -> None:
            self._open.pop()
            self.calls[path].returned = _first(output)

        return hook

    def last_within(self, parent: str) -> str:
        """The child that a parent's code calls last."""
        return next((path for path, call in reversed(self.calls.items()) if call.parent == parent), "")
