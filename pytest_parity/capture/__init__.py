"""A model in, observations out: hooks, trees, random streams and the optimizer's steps.

Observations reach ``observe`` at the moment they are made and are not kept here: the sink writes or compares them
before it returns, so that later changes in place cannot reach them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch

from pytest_parity.capture.modules import Guard, Leaving, ModuleObserver, Observe, Replay, rebuilt, unguarded
from pytest_parity.capture.names import TensorTable
from pytest_parity.capture.optimizers import (
    OptimizerObserver,
    Snapshot,
    hyperparameters,
    is_flat,
    isolated_step,
    needs_closure,
    snapshot,
    state_leaves,
)
from pytest_parity.capture.random import POLICIES, Generators, Streams, kept_generators
from pytest_parity.capture.tree import Spec, leaves, pack, unpack
from pytest_parity.golden.memory import tensor_digest
from pytest_parity.names import BoundNames
from pytest_parity.names.moves import in_reference, states_in_reference
from pytest_parity.site import DEFAULT_KINDS, Kind, Site

__all__ = [
    "POLICIES",
    "Capture",
    "Generators",
    "Guard",
    "Leaving",
    "Observe",
    "Replay",
    "Snapshot",
    "Spec",
    "Streams",
    "TensorTable",
    "hyperparameters",
    "is_flat",
    "isolated_step",
    "kept_generators",
    "leaves",
    "needs_closure",
    "pack",
    "rebuilt",
    "snapshot",
    "state_leaves",
    "unguarded",
    "unpack",
]


class Capture:
    """Everything of a model and its optimizers that is observed in a step.

    ``names`` gives the sites their names (the reference's), ``known`` the parameter names that the golden has.
    ``stepping`` and ``stepped`` are called before and after each step of an optimizer with its place among
    ``optimizers``, ``before_updates`` before the updated weights are observed.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        observe: Observe,
        *,
        optimizers: Sequence[torch.optim.Optimizer] = (),
        streams: Streams,
        names: BoundNames,
        known: frozenset[str] | None = None,
        kinds: frozenset[Kind] = DEFAULT_KINDS,
        replay: Sequence[str] = (),
        replayed: Replay | None = None,
        isolate: Replay | None = None,
        stepping: Callable[[int], None] | None = None,
        stepped: Callable[[int], None] | None = None,
        before_updates: Callable[[], None] | None = None,
    ) -> None:
        self.model = model
        self.names = names
        self.optimizers = tuple(optimizers)
        self._table = TensorTable(model, names.path, known)
        self.tensors: dict[str, torch.Tensor] = {}
        """The model's parameters and persistent buffers by ``names.path``: what is rearranged has a path of its own."""
        self._by_tensor: dict[int, str] = {}
        self.refresh()
        self._observe = observe
        self._kinds = kinds
        self._stepping_callback = stepping
        self._stepped_callback = stepped
        self._before_updates = before_updates
        self.modules = ModuleObserver(
            model,
            observe,
            streams=streams,
            names=names,
            kinds=kinds,
            replay=replay,
            replayed=replayed,
            isolate=isolate,
        )
        self._observers = [
            OptimizerObserver(optimizer, begin=self._begin(place), before=self._before(place), after=self._after(place))
            for place, optimizer in enumerate(self.optimizers)
        ]
        self._gradients_seen: set[str] = set()
        self._updates_seen = False
        self._at_start: dict[str, str] = {}
        self._after_step: dict[str, str] = {}
        self._changed_before: dict[str, None] = {}
        self.steps_taken = [0] * len(self.optimizers)
        self.step: int | None = None
        """The step that was begun last."""
        self.attached: Callable[[], None] | None = None
        """Called when the hooks are on."""
        streams.use(tensor.device for tensor in self.tensors.values())

    def attach(self, guarded: Guard = unguarded) -> None:
        """Put the hooks on, each as ``guarded`` gives it back."""
        self.modules.attach(guarded)
        for observer in self._observers:
            observer.attach(guarded)
        if self.attached is not None:
            self.attached()

    def detach(self) -> None:
        """Take the hooks off."""
        self.modules.detach()
        for observer in self._observers:
            observer.detach()

    def refresh(self) -> None:
        """Look the tensors up again: a module may have put another one in a buffer's place."""
        self.tensors = self._table.now()
        self._by_tensor = {id(tensor): name for name, tensor in self.tensors.items()}

    def name_of(self, parameter: torch.Tensor) -> str | None:
        """The path in ``tensors`` of a parameter or buffer, or ``None`` if the model does not hold it."""
        return self._by_tensor.get(id(parameter))

    def weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Every parameter and persistent buffer by its site's path, as the reference has it arranged."""
        for name, tensor in in_reference(self.names, self.tensors):
            assert tensor is not None
            yield name, tensor

    def begin_step(self, step: int) -> None:
        """Open a step: observe its start (weights, optimizer state), then the calls to come."""
        self.step = step
        self.refresh()
        self._gradients_seen.clear()
        self._after_step.clear()
        self._changed_before.clear()
        self._at_start = {name: digest for place in range(len(self.optimizers)) for name, digest in self._held(place)}
        self._updates_seen = False
        self.steps_taken = [0] * len(self.optimizers)
        for observer in self._observers:
            observer.reset()
        self.modules.begin_step(step)
        if Kind.WEIGHT in self._kinds:
            for name, tensor in self.weights():
                self._observe(Site(Kind.WEIGHT, name), tensor)
        self.observe_states()
        for observer in self._observers:
            observer.resume()

    def observe_states(self) -> None:
        """Observe the optimizers' state as it is now."""
        if Kind.OPTIMIZER in self._kinds:
            for place, optimizer in enumerate(self.optimizers):
                self._observe_state(place, optimizer)

    def end_step(self) -> None:
        """Close a step: what is final only now is observed now."""
        if self.modules.step is None:
            return
        self.gradients()
        self.updates()
        self.modules.end_step()

    def gradients(self) -> None:
        """Observe the gradients that were not yet: final where no optimizer has stepped, or where none holds them."""
        self._observe_gradients(
            [name for name, tensor in self.tensors.items() if tensor.requires_grad and tensor.is_leaf]
        )

    def updates(self) -> None:
        """Observe the updated weights, if an optimizer has stepped in this step."""
        if Kind.UPDATED_WEIGHT in self._kinds and not self._updates_seen and any(self.steps_taken):
            self._updates_seen = True
            self.refresh()
            if self._before_updates is not None:
                self._before_updates()
            for name, tensor in self.weights():
                self._observe(Site(Kind.UPDATED_WEIGHT, name), tensor)

    def changed_besides(self) -> list[str]:
        """The parameters that something else than their optimizer's step has changed: clipped, averaged, reset."""
        left = ((name, self.tensors.get(name), digest) for name, digest in self._after_step.items())
        after = [name for name, tensor, digest in left if tensor is None or tensor_digest(tensor.detach()) != digest]
        changed = (*self._changed_before, *after)
        return list(dict.fromkeys(target for name in changed for target in self.names.tensors(name)))

    def _observe_state(self, place: int, optimizer: torch.optim.Optimizer) -> None:
        rearranged: dict[str, dict[str, torch.Tensor]] = {}
        for parameter, state in optimizer.state.items():
            name = self.name_of(parameter)
            if name in self.names.layouts:
                rearranged[name] = dict(state_leaves(state))
            elif name is not None:
                for leaf, tensor in state_leaves(state):
                    self._observe(Site(Kind.OPTIMIZER, name, leaf=leaf, optimizer=place), tensor)
        for name, leaf, value in states_in_reference(self.names, rearranged):
            self._observe(Site(Kind.OPTIMIZER, name, leaf=leaf, optimizer=place), value)

    def _observe_gradients(self, candidates: Iterable[str]) -> None:
        """Observe the gradients that were not yet; those of one layout when all of them are among ``candidates``."""
        if Kind.GRADIENT not in self._kinds:
            return
        layouts = self.names.layouts
        chosen = dict.fromkeys(candidates)
        fresh = {
            name: self.tensors[name].grad
            for name in chosen
            if name not in self._gradients_seen
            and (name not in layouts or layouts[name].candidate.keys() <= chosen.keys())
        }
        if all(gradient is None for gradient in fresh.values()):
            return
        self._gradients_seen.update(fresh)
        for name, gradient in in_reference(self.names, fresh):
            self._observe(Site(Kind.GRADIENT, name), gradient)

    def _begin(self, place: int) -> Callable[[], None]:
        def stepping() -> None:
            if self.modules.step is None:
                return
            for name, digest in self._held(place):
                if self._at_start.get(name) != digest:
                    self._changed_before.setdefault(name)
            if self._stepping_callback is not None:
                self._stepping_callback(place)

        return stepping

    def _before(self, place: int) -> Callable[[], None]:
        def gradients_are_final() -> None:
            if self.modules.step is None:
                return
            if len(self.optimizers) == 1:
                self.gradients()
                return
            held = [self.name_of(p) for group in self.optimizers[place].param_groups for p in group["params"]]
            self._observe_gradients([name for name in held if name is not None])

        return gradients_are_final

    def _after(self, place: int) -> Callable[[], None]:
        def stepped() -> None:
            if self.modules.step is not None:
                self.steps_taken[place] += 1
                self._remember(place)
                if self._stepped_callback is not None:
                    self._stepped_callback(place)

        return stepped

    def _remember(self, place: int) -> None:
        """What an optimizer has made of its parameters, as digests."""
        self._after_step.update(self._held(place))

    def _held(self, place: int) -> Iterator[tuple[str, str]]:
        """The digests of an optimizer's parameters, where updates are observed."""
        if Kind.UPDATED_WEIGHT in self._kinds:
            for group in self.optimizers[place].param_groups:
                for parameter in group["params"]:
                    name = self.name_of(parameter)
                    if name is not None:
                        yield name, tensor_digest(parameter.detach())
