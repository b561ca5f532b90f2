"""Observing optimizers: when gradients are final, when a step was taken, and stepping one in isolation."""

from __future__ import annotations

import copy
import inspect
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.hooks import RemovableHandle

from pytest_parity.capture.tree import leaves

__all__ = [
    "OptimizerObserver",
    "Snapshot",
    "hyperparameters",
    "is_flat",
    "isolated_step",
    "needs_closure",
    "snapshot",
    "state_leaves",
]

_HOOKS = ("step_pre", "step_post", "state_dict_pre", "state_dict_post", "load_state_dict_pre", "load_state_dict_post")

_PER_PARAMETER_LIMIT = 32 << 20
"""Bytes of parameters that an isolated step handles at a time, where the optimizer treats each on its own."""


class OptimizerObserver:
    """The hooks on one optimizer: ``begin`` is called first, ``before`` with final gradients, ``after`` the step.

    In a plain loop the gradients are final when the step begins. With ``step(closure)`` (Lightning, LBFGS) backward
    runs inside the step, so they are final when the closure returns: its first run counts. Lightning runs the
    whole training step in there, so that a step of the loop begins after the optimizer's: ``resume`` is for that.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        *,
        begin: Callable[[], None],
        before: Callable[[], None],
        after: Callable[[], None],
    ) -> None:
        self.optimizer = optimizer
        self._begin = begin
        self._before = before
        self._after = after
        self._handles: list[RemovableHandle] = []
        self._depth = 0
        self._in_closure = False
        self._guarded: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda hook: hook

    def reset(self) -> None:
        """Begin anew, after a step that may have raised.

        The hook before a step is the last of those there are, so that it sees the gradients that are applied; the one
        after it is the first, so that what the user's hooks then change is seen to be theirs.
        """
        if not self._in_closure:
            self._depth = 0
        if self._handles:
            before, after = self._handles
            registered = vars(self.optimizer)  # the hooks' own dictionaries are ordered, and typed as if they were not
            registered["_optimizer_step_pre_hooks"].move_to_end(before.id)
            registered["_optimizer_step_post_hooks"].move_to_end(after.id, last=False)

    def resume(self) -> None:
        """What runs in the optimizer's closure has begun a step of the loop: the optimizer's step is one of its own."""
        if self._in_closure:
            self._begin()

    def attach(self, guarded: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        """Register the hooks."""
        self._guarded = guarded
        self._handles.append(self.optimizer.register_step_pre_hook(guarded(self._on_step)))
        self._handles.append(self.optimizer.register_step_post_hook(guarded(self._on_stepped)))

    def detach(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _on_step(self, _optimizer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self._depth += 1
        if self._depth > 1:  # a subclass that calls its base's step: torch runs the hooks of both
            return None
        self._begin()
        # torch passes the bound optimizer as the first positional argument of the step
        closure = kwargs.get("closure", next((value for value in args if callable(value)), None))
        if closure is None:
            self._before()
            return None
        pending = [self._guarded(self._before)]

        def observed() -> Any:
            self._in_closure = True
            try:
                loss = closure()
            finally:
                self._in_closure = False
            if pending:
                pending.pop()()
            return loss

        if "closure" in kwargs:
            return args, {**kwargs, "closure": observed}
        return tuple(observed if value is closure else value for value in args), kwargs

    def _on_stepped(self, _optimizer: Any, _args: Any, _kwargs: Any) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._after()


def hyperparameters(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """Every ``param_groups`` value that is plain (numbers, strings, flags, None, lists of them), a dict for each group."""
    return [
        {name: _plain(value) for name, value in group.items() if name != "params" and _is_plain(value)}
        for group in optimizer.param_groups
    ]


def _is_plain(value: Any) -> bool:
    return value is None or _plain(value) is not None


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        return value.item()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (bool, int, float, str)) else None


def state_leaves(state: Mapping[str, Any]) -> Iterator[tuple[str, torch.Tensor]]:
    """A parameter's optimizer state: ``exp_avg``, ``step`` and the like; plain numbers as 0-d tensors."""
    for path, value in _numbers(state):
        if isinstance(value, torch.Tensor):
            yield path, value
        elif isinstance(value, (bool, int, float)):
            yield path, torch.tensor(value, dtype=torch.float64 if isinstance(value, float) else None)


def _numbers(state: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in state.items():
        if isinstance(value, (torch.Tensor, bool, int, float)):
            yield str(name), value
        else:
            yield from ((path, tensor) for path, tensor in leaves(value, str(name)) if tensor is not None)


def needs_closure(optimizer: torch.optim.Optimizer) -> bool:
    """Whether ``step`` cannot be called without a closure (LBFGS, and methods that evaluate the loss twice)."""
    closure = inspect.signature(type(optimizer).step).parameters.get("closure")
    return closure is not None and closure.default is inspect.Parameter.empty


Start = tuple[torch.Tensor, "torch.Tensor | None", dict[str, torch.Tensor]]
"""A parameter's weight, gradient and optimizer state, as the reference had them before its step."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An optimizer's settings and its own attributes, without parameters and state."""

    groups: tuple[dict[str, Any], ...]
    attributes: dict[str, Any]


def snapshot(optimizer: torch.optim.Optimizer) -> Snapshot:
    """Copy what the next step may change besides parameters and state; raises what copying an attribute raises."""
    memo: dict[int, Any] = {id(optimizer): optimizer}
    memo.update((id(parameter), parameter) for group in optimizer.param_groups for parameter in group["params"])
    own = {name: value for name, value in vars(optimizer).items() if name not in _NOT_COPIED}
    return Snapshot(copy.deepcopy(tuple(optimizer.param_groups), memo), copy.deepcopy(own, memo))


def is_flat(optimizer: torch.optim.Optimizer) -> bool:
    """Whether the state is tensors and numbers by parameter, which is what a stand-in can be given."""
    return all(
        isinstance(key, torch.Tensor)
        and all(isinstance(value, (torch.Tensor, bool, int, float)) for value in state.values())
        for key, state in optimizer.state.items()
    )


def isolated_step(
    optimizer: torch.optim.Optimizer, before: Snapshot, start: Callable[[torch.nn.Parameter], Start | None]
) -> Iterator[tuple[torch.nn.Parameter, torch.Tensor]]:
    """Step a copy of ``optimizer`` from another run's start, and yield each parameter with its copy's new value.

    ``before`` is what the optimizer was like when its own step began; ``start`` gives a parameter's weight, gradient and state (fresh tensors), or ``None`` to leave it out. The copy has
    the optimizer's class and hyperparameters, and none of its hooks; the optimizer itself, its parameters and their
    gradients are not touched. torch's own optimizers treat each parameter alone, so theirs are stepped some at a time.
    """
    chosen = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for batch in _batches(chosen) if type(optimizer).__module__.startswith("torch.optim") else [chosen]:
        copies: dict[torch.nn.Parameter, torch.nn.Parameter] = {}
        state: dict[Any, Any] = {}
        for parameter in batch:
            begin = start(parameter)
            if begin is None:
                continue
            twin = torch.nn.Parameter(begin[0].to(parameter.device), requires_grad=parameter.requires_grad)
            twin.grad = None if begin[1] is None else begin[1].to(parameter.device)
            own = optimizer.state.get(parameter, {})
            if begin[2]:
                state[twin] = {name: _like(value, own.get(name), twin) for name, value in begin[2].items()}
            copies[parameter] = twin
        if copies:
            _step_copy(optimizer, before, copies, state)
            yield from ((parameter, twin.detach()) for parameter, twin in copies.items())


def _batches(parameters: Iterable[torch.nn.Parameter]) -> Iterator[list[torch.nn.Parameter]]:
    batch: list[torch.nn.Parameter] = []
    size = 0
    for parameter in parameters:
        batch.append(parameter)
        size += parameter.numel() * parameter.element_size()
        if size >= _PER_PARAMETER_LIMIT:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _like(value: torch.Tensor, own: Any, twin: torch.nn.Parameter) -> Any:
    """Give a recorded state value the type and the device that the candidate's own state has."""
    if isinstance(own, torch.Tensor):
        return value.to(own.device)
    if isinstance(own, (bool, int, float)):
        return type(own)(value.item())
    return value if value.dim() == 0 else value.to(twin.device)


_NOT_COPIED = frozenset(
    {
        "step",
        "param_groups",
        "state",
        "defaults",
        *(f"_optimizer_{hook}_hooks" for hook in _HOOKS),
        "_zero_grad_profile_name",
    }
)
"""Attributes of an optimizer that its stand-in gets otherwise, or does without."""


def _step_copy(
    optimizer: torch.optim.Optimizer,
    before: Snapshot,
    copies: dict[torch.nn.Parameter, torch.nn.Parameter],
    state: dict[Any, Any],
) -> None:
    """Step a stand-in with the optimizer's own class and settings.

    ``step`` is taken from the class: learning rate schedulers and precision plugins replace it on the instance with
    functions that reach back to the original optimizer.
    """
    stand_in = object.__new__(type(optimizer))
    memo: dict[int, Any] = {id(optimizer): stand_in, **{id(parameter): twin for parameter, twin in copies.items()}}
    stand_in.__dict__.update(copy.deepcopy(before.attributes, memo))
    stand_in.param_groups = [
        {
            **{name: copy.deepcopy(value, memo) for name, value in group.items() if name != "params"},
            "params": [copies[parameter] for parameter in group["params"] if parameter in copies],
        }
        for group in before.groups
    ]
    stand_in.state = defaultdict(dict, state)
    stand_in.defaults = dict(optimizer.defaults)
    for hook in _HOOKS:  # the copy has no observers
        setattr(stand_in, f"_optimizer_{hook}_hooks", OrderedDict())
    type(optimizer).step(stand_in)
