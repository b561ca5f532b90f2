"""Observing module calls: forward hooks on every module, tensor hooks for activation gradients.

Hooks return nothing unless a module is replayed, so the step's bits are those of a step without them. Full backward
hooks are not used: they break on in-place operations and see nothing of modules that are called with keywords only.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Protocol

import torch
from torch.utils.hooks import RemovableHandle

from pytest_parity.capture.calls import Call, CallStack, in_backward
from pytest_parity.capture.names import module_aliases
from pytest_parity.capture.random import Streams
from pytest_parity.capture.tree import children, leaves, with_parts
from pytest_parity.errors import UsageError
from pytest_parity.names import BoundNames
from pytest_parity.site import ROOT, Kind, Site

__all__ = ["Entering", "Guard", "Leaving", "ModuleObserver", "Observe", "Replay", "rebuilt", "unguarded"]

Observe = Callable[[Site, "torch.Tensor | None"], None]
"""Takes an observation at the moment it is made; the tensor may change as soon as it returns."""


Guard = Callable[[Callable[..., Any]], Callable[..., Any]]
"""Gives a hook back as it is to be registered: what it raises may have to be kept from the code under observation."""


def unguarded(hook: Callable[..., Any]) -> Callable[..., Any]:
    """The hook itself."""
    return hook


class Replay(Protocol):
    """Gives the golden's tensor of an output's site, for modules whose output is replayed."""

    def __call__(self, site: Site) -> torch.Tensor | None:
        """The recorded tensor, or ``None`` where the golden has none."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """A module call whose output is being observed: with what it was called."""

    module: torch.nn.Module
    path: str
    index: int
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Entering:
    """A module call that begins: what it is given, and of that what holds tensors, by place or keyword, named as sites."""

    module: torch.nn.Module
    path: str
    index: int
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    numbered: tuple[tuple[Any, str, Any], ...]

    def tensors(self) -> dict[str, torch.Tensor]:
        """Its inputs by leaf."""
        found = (one for _, prefix, value in self.numbered for one in leaves(value, prefix))
        return {leaf: tensor for leaf, tensor in found if tensor is not None}


class ModuleObserver:
    """The hooks on one model. ``observe`` gets every input and output while ``step`` is not ``None``."""

    def __init__(
        self,
        model: torch.nn.Module,
        observe: Observe,
        *,
        streams: Streams,
        names: BoundNames,
        kinds: frozenset[Kind],
        replay: Sequence[str] = (),
        replayed: Replay | None = None,
        isolate: Replay | None = None,
    ) -> None:
        self._observe = observe
        self._streams = streams
        self._names = names
        self._inputs = Kind.INPUT in kinds
        self._outputs = Kind.ACTIVATION in kinds
        self._gradients = Kind.ACTIVATION_GRADIENT in kinds
        self._replay = tuple(replay)
        self._replayed = replayed
        self._isolate = isolate
        """Where there is one: what takes the place of every input, output and gradient of a call, once it is observed."""
        self.paused = False
        """Nothing is observed, counted or replaced."""
        self.leaving: Leaving | None = None
        self.probe: Callable[[Entering], None] | None = None
        """Called when a module is called first in a step, before it runs, while nothing is observed."""
        self._model = model
        self._orders: dict[Any, list[str] | None] = {}
        self._handles: list[RemovableHandle] = []
        self.aliases, self.compiled = module_aliases(model)
        self._stack = CallStack(self.aliases)
        self.functional_draws: dict[str, None] = {}
        """Modules whose own code draws, between the calls of their children."""
        self.opaque: dict[str, None] = {}
        """Modules that returned nothing in which a tensor can be seen, by the names of sites."""
        self.step: int | None = None
        self.on_first_call: Callable[[], None] | None = None
        """Called when a module is called while no step is open (a test of one step, without a loop)."""
        self.on_outermost_call: Callable[[], None] | None = None
        """Called before each call that no other module makes, also while no step is open: it may open or end one."""

    def attach(self, guarded: Guard = unguarded) -> None:
        """Register the hooks. A model that was compiled already is reset, or its hooks would never fire."""
        for pattern in self._replay:
            if not any(
                fnmatchcase(self._names.path(path), pattern) for paths in self.aliases.values() for path in paths
            ):
                raise UsageError(f"replay={pattern!r} matches no module; modules are named as the reference's are")
        if self.compiled:
            torch._dynamo.reset()  # noqa: SLF001  its documented name
        enter, leave = guarded(self._enter), guarded(self._leave)
        for module in self.aliases:
            self._handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
            self._handles.append(module.register_forward_hook(leave, with_kwargs=True, always_call=True))

    def detach(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def begin_step(self, step: int) -> None:
        """Count calls from 0 again and observe from here on."""
        self._stack.reset()
        self.step = step

    def end_step(self) -> None:
        """Observe no more until the next step."""
        self.step = None

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """Inside, modules may be called without being observed, counted or replaced."""
        before, self.paused = self.paused, True
        try:
            yield
        finally:
            self.paused = before

    def named(self, path: str) -> torch.nn.Module | None:
        """The module of a name of the reference's."""
        return next(
            (module for module, paths in self.aliases.items() if path in map(self._names.path, paths)),
            self._model if path == ROOT else None,
        )

    @property
    def never_called(self) -> list[str]:
        """The modules that this step has not called so far, by their first name."""
        called = self._stack.called
        return sorted(paths[0] for paths in self.aliases.values() if called.isdisjoint(paths))

    def _enter(self, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if torch.compiler.is_compiling() or self.paused:
            return None
        if self.on_outermost_call is not None and self._stack.idle and not in_backward():
            self.on_outermost_call()
        if self.step is None:
            if self.on_first_call is None:
                return None
            self.on_first_call()
        call = self._stack.enter(module)
        path, index = self._names.call(call.path, call.index)
        if self._inputs and not call.recompute:
            self._see_inputs(module, path, index, args, kwargs)
        if self.probe is not None and index == 0 and not call.recompute:
            with self.at_rest():
                numbered = tuple(self._numbered(module, args, kwargs))
                self.probe(Entering(module, path, index, args, kwargs, numbered))
        call.streams = self._streams.enter(self.step or 0, path, index)
        if call.streams is not None and module._modules:  # noqa: SLF001  a leaf's draws are its own
            call.fresh = self._streams.states()
        if self._isolate is None:
            return None
        given = self._handed(module, path, index, args, kwargs)
        call.handed = [
            (own, other, _version(other))
            for (_, own), (_, other) in zip(leaves((args, kwargs)), leaves(given), strict=True)
            if own is not None and other is not None and own is not other
        ]
        return given

    def _leave(self, module: torch.nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        if torch.compiler.is_compiling() or self.step is None or self.paused:
            return None
        call = self._stack.leave(module)
        if call is None:
            return None
        if call.fresh is not None and not all(map(torch.equal, call.fresh, self._streams.states())):
            self.functional_draws.setdefault(call.path)
        self._streams.leave(call.streams)
        call.streams = call.fresh = None
        handed, call.handed = call.handed, []
        if output is None and sys.exc_info()[1] is not call.exception:
            return None  # the forward raised
        path, index = self._names.call(call.path, call.index)
        if any(_version(other) != before for _, other, before in handed):
            args, kwargs = self._handed(module, path, index, args, kwargs)  # as they were, for who calls it anew
        if self._outputs and not call.recompute:
            self.leaving = Leaving(module, path, index, args, kwargs)
            self._see_outputs(path, index, output)
            self.leaving = None
        if self._gradients:
            self._see_gradients(call, path, index, output)
        if self._isolate is not None:
            replaced = self._replace(path, index, output, self._isolate)
            _overwrite(handed, output, replaced)
            return replaced
        if self._replay and any(fnmatchcase(path, pattern) for pattern in self._replay):
            return self._replace(path, index, output, self._replayed)
        return None

    def _see_inputs(self, module: torch.nn.Module, path: str, index: int, args: Any, kwargs: dict[str, Any]) -> None:
        for _, prefix, value in self._numbered(module, args, kwargs):
            for leaf, tensor in leaves(value, prefix):
                if tensor is not None:
                    self._observe(Site(Kind.INPUT, path, index, leaf), tensor)

    def _numbered(self, module: torch.nn.Module, args: Any, kwargs: dict[str, Any]) -> Iterator[tuple[Any, str, Any]]:
        """What a call is given that holds tensors, by place or keyword, with the path of its leaves."""
        named = self._in_order(module, kwargs) if kwargs else ()
        place = 0
        for key, value in (*enumerate(args), *named):
            if any(tensor is not None for _, tensor in leaves(value)):
                yield key, f"in.{place}", value
                place += 1

    def _handed(self, module: torch.nn.Module, path: str, index: int, args: Any, kwargs: dict[str, Any]) -> Any:
        """What a call is given, the recorded inputs in the place of its own."""
        given = {}
        for key, prefix, value in self._numbered(module, args, kwargs):
            given[key] = self._recorded(Kind.INPUT, path, index, value, prefix)
        ours = tuple(given.get(place, value) for place, value in enumerate(args))
        return ours, {name: given.get(name, value) for name, value in kwargs.items()}

    def _recorded(self, kind: Kind, path: str, index: int, value: Any, prefix: str) -> Any:
        assert self._isolate is not None
        recorded = {leaf: self._isolate(Site(kind, path, index, leaf)) for leaf, _ in leaves(value, prefix)}
        return rebuilt(value, recorded, prefix)

    def _in_order(self, module: torch.nn.Module, kwargs: dict[str, Any]) -> list[tuple[str, Any]]:
        """Keyword arguments in the order of the forward's signature, so that callers need not agree on keywords."""
        forward = module.forward
        key = getattr(forward, "__func__", forward)
        if key not in self._orders:
            try:
                self._orders[key] = list(inspect.signature(forward).parameters)
            except (TypeError, ValueError):
                self._orders[key] = None
        order = self._orders[key]
        if order is None:
            return list(kwargs.items())
        first = [(name, kwargs[name]) for name in order if name in kwargs]
        return first + [(name, value) for name, value in kwargs.items() if name not in order]

    def _see_outputs(self, path: str, index: int, output: Any) -> None:
        if isinstance(output, torch.Tensor):
            self._observe(Site(Kind.ACTIVATION, path, index), output)
            return
        found = list(leaves(output, "out"))
        if not found:
            self.opaque.setdefault(path)
        for leaf, tensor in found:
            self._observe(Site(Kind.ACTIVATION, path, index, "" if output is None else leaf), tensor)

    def _see_gradients(self, call: Call, path: str, index: int, output: Any) -> None:
        """Hook the gradients of a call's outputs; under a reentrant checkpoint only the recompute's have any."""
        if call.repeats is not None and call.repeats.differentiable:
            return
        for leaf, tensor in leaves(output, "out"):
            if tensor is not None and tensor.requires_grad:
                call.differentiable = True
                site = Site(Kind.ACTIVATION_GRADIENT, path, index, "" if tensor is output else leaf)
                tensor.register_hook(self._gradient_hook(site))  # type: ignore[no-untyped-call]

    def _gradient_hook(self, site: Site) -> Callable[[torch.Tensor], torch.Tensor | None]:
        def hook(gradient: torch.Tensor) -> torch.Tensor | None:
            if self.step is None or self.paused:
                return None
            self._observe(site, gradient)
            recorded = self._isolate(site) if self._isolate is not None else None
            if recorded is None or recorded.shape != gradient.shape:
                return None
            return recorded.to(device=gradient.device, dtype=gradient.dtype)

        return hook

    @staticmethod
    def _replace(path: str, index: int, output: Any, replayed: Replay | None) -> Any:
        if replayed is None:
            return None
        kind = Kind.ACTIVATION
        if isinstance(output, torch.Tensor):
            return _carry(output, replayed(Site(kind, path, index)))
        recorded = {leaf: replayed(Site(kind, path, index, leaf)) for leaf, _ in leaves(output, "out")}
        return rebuilt(output, recorded, "out")


def rebuilt(value: Any, recorded: dict[str, torch.Tensor | None], prefix: str) -> Any:
    """The same tree, with the recorded tensors (by leaf) where there are any; gradients go the values' own way."""
    if isinstance(value, torch.Tensor):
        return _carry(value, recorded.get(prefix))
    parts = children(value)
    if parts is None:
        return value
    return with_parts(value, [(key, rebuilt(part, recorded, f"{prefix}.{key}")) for key, part in parts])


def _overwrite(handed: list[tuple[torch.Tensor, torch.Tensor, int]], output: Any, replaced: Any) -> None:
    """Have a caller see what a call has overwritten of what it was handed, as it would of its own tensors."""
    pairs = zip(leaves(output), leaves(replaced), strict=True)
    returned = {id(one): other for (_, one), (_, other) in pairs if one is not None and other is not None}
    for own, given, before in handed:
        if _version(given) != before:
            with suppress(RuntimeError):  # what may not be overwritten: nor could the call have done it
                own.copy_(returned.get(id(given), given))


def _version(tensor: torch.Tensor) -> int:
    """Counts how often a tensor was overwritten; inference keeps no count."""
    return 0 if tensor.is_inference() else tensor._version  # noqa: SLF001  nothing else tells


def _carry(own: torch.Tensor, recorded: torch.Tensor | None) -> torch.Tensor:
    if recorded is None or recorded.shape != own.shape:
        return own
    # laid out in memory as its own is: draws fall into a tensor in that order
    recorded = torch.empty_like(own, requires_grad=False).copy_(recorded)
    if not own.requires_grad:
        return recorded
    replaced: torch.Tensor = _Replaced.apply(own, recorded)  # type: ignore[no-untyped-call]
    return replaced


class _Replaced(torch.autograd.Function):
    """The recorded value forward, the module's own path backward."""

    @staticmethod
    def forward(_context: Any, own: torch.Tensor, recorded: torch.Tensor) -> torch.Tensor:  # noqa: ARG004
        return torch.empty_like(recorded).copy_(recorded)  # what is returned as it came may not be overwritten in place

    @staticmethod
    def backward(_context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient, None
