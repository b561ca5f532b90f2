"""Where the steps of a script's training begin and end, told from what its process does: batches, calls, optimizers.

A step begins with the first call of the model with gradients on. It ends with the next batch of a loader that gave the
step's own, so that with gradient accumulation a step is one batch, as it is Lightning's; without a loader, or where one
batch is trained on again, with the next call after all optimizers have stepped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import ReferenceType, WeakSet, ref

import torch

__all__ = ["Steps"]


@dataclass(frozen=True, slots=True)
class _Drawn:
    iterator: ReferenceType[Any]
    loader: ReferenceType[Any]
    batch: Any


class Steps:
    """Is told what happens, and knows whether a step is under way: ``open``. Answers what that means for the step."""

    def __init__(self) -> None:
        self.open = False
        self.optimizers: WeakSet[torch.optim.Optimizer] = WeakSet()
        """Those that make up a step, while there are any of them."""
        self.settled = False
        """Whether a step has trained; before, a step without backward and optimizer was a trial of the model."""
        self.trained = False
        """Whether the step that is under way, or was last, has run backward or stepped an optimizer."""
        self._mode: bool | None = None
        """In which mode the model trains, once one step has: ``training`` or not."""
        self._step_mode = True
        self._stepped: WeakSet[torch.optim.Optimizer] = WeakSet()
        self._again = False
        """Whether one of them has stepped several times in the step."""
        self._loaders: WeakSet[Any] = WeakSet()
        """Those whose batches are trained on, once one step has."""
        self._step_loaders: WeakSet[Any] = WeakSet()
        self._pending: list[_Drawn] = []
        """Batches that no step has taken yet."""
        self._foreign = False
        """Whether the last batch came from a loader that is not trained on."""

    def ends_with_draw(self, loader: Any) -> bool:
        """Whether a draw from a loader ends the step."""
        return self.open and (self.complete or loader in self._step_loaders)

    def drew(self, iterator: Any, loader: Any, batch: Any) -> None:
        """A batch was drawn, outside of a step."""
        self._foreign = bool(self._loaders) and loader not in self._loaders
        self.exhausted(iterator)
        self._pending.append(_Drawn(ref(iterator), ref(loader), batch))

    def exhausted(self, iterator: Any) -> None:
        """A loader has no more batches: what it gave last was not trained on."""
        self._pending = [one for one in self._pending if one.iterator() is not iterator]

    def ends_with_call(self, *, training: bool) -> bool:
        """Whether an outermost call of the model does not belong to the step any more."""
        if not self.open:
            return False
        if self.complete:
            return True
        return self.trained and training is not self._step_mode  # validation amid accumulated batches

    def begins_with_call(self, *, training: bool, gradients: bool) -> bool:
        """Whether an outermost call of the model begins a step: one with gradients, in the mode in which it is trained.

        Before a step has trained, a call in eval mode does where a batch was drawn for it.
        """
        if self.open:
            return False
        if not gradients or self._mode not in {None, training}:
            self._foreign = False
            if self._loaders:
                self._pending = [one for one in self._pending if one.loader() in self._loaders]
            return False
        return not self._foreign and (training or self._mode is False or bool(self._pending))

    def begin(self, *, training: bool) -> Any:
        """Begin a step; gives its batch: what was drawn for it, several loaders' as a tuple, ``None`` where nothing was."""
        self.open, self.trained, self._step_mode, self._again = True, False, training, False
        self._stepped.clear()
        alive = [one for one in self._pending if one.iterator() is not None]
        drawn = alive or self._pending[-1:]
        self._pending = []
        self._step_loaders = WeakSet(loader for one in drawn if (loader := one.loader()) is not None)
        return tuple(one.batch for one in drawn) if len(drawn) > 1 else next((one.batch for one in drawn), None)

    def end(self) -> bool:
        """End the step; whether it counts: what runs before the first training step only tries the model."""
        self.open = False
        if self.trained and not self.settled:
            self.settled, self._mode = True, self._step_mode
        if self.trained:
            self._loaders |= self._step_loaders
        return self.settled

    def stepped(self, optimizer: torch.optim.Optimizer) -> bool:
        """An optimizer has stepped, or a scaler has skipped its step; false where no step was seen to begin."""
        if not self.open:  # training goes on in another way than before: with another loader, in another mode
            self._foreign, self._mode = False, None
            self._loaders.clear()
            return False
        self.trained = True
        self._again = self._again or optimizer in self._stepped
        self._stepped.add(optimizer)
        return True

    @property
    def awaited(self) -> list[torch.optim.Optimizer]:
        """Those that no step has seen, while others stepped again and again: without a loader the first never ended."""
        endless = self.open and self._again and not self.settled and not self._step_loaders
        return [one for one in self.optimizers if one not in self._stepped] if endless else []

    @property
    def complete(self) -> bool:
        """Whether all optimizers have stepped in the step."""
        return bool(self._stepped) and set(self.optimizers) <= set(self._stepped)
