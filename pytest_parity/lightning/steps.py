"""Steps: the training steps of one ``fit``, each begun where the model's own code gets its batch."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from pytest_parity.errors import UsageError
from pytest_parity.session.driven import Driven
from pytest_parity.session.values import tensors
from pytest_parity.site import Kind

__all__ = ["Steps"]

T = TypeVar("T")

Guard = Callable[[Callable[[], T], T], T]
"""Runs what is ours, and gives the second where it raised and the script is to go on."""

_STEP, _DRAWS = "training_step", "dataloader_iter"


class Steps:
    """Wraps a model's ``training_step`` for one ``fit``, numbering its calls as the trainer counts batches.

    The wrapper lies inside of what runs the step: the optimizer's closure, a strategy's wrapper of the model. An
    optimizer that runs its closure again (LBFGS) calls it several times in one step.
    """

    def __init__(self, driven: Driven, trainer: Any, model: Any, guard: Guard[Any]) -> None:
        self._driven = driven
        self._trainer = trainer
        self._model = model
        self._guard = guard
        self._number: int | None = None
        """The step that is under way, or was the last."""
        self._own: Any = None
        self._given: Any = None
        """The step's batch, as it was drawn and as it is trained on."""
        self._told = False
        """Whether the step has told its losses, by its own backward."""
        self._before = vars(model).get(_STEP)

    def attach(self) -> None:
        """Put the wrapper in the step's place."""
        step = getattr(self._model, _STEP)
        named = next(iter(inspect.signature(step).parameters), "")
        give = self._drawing if named == _DRAWS else self._given_for

        @functools.wraps(step)
        def training_step(*args: Any, **kwargs: Any) -> Any:
            if not self._trainer.training:  # a validation_step calls it
                return step(*args, **kwargs)
            if args:
                args = (give(args[0]), *args[1:])
            elif named in kwargs:
                kwargs[named] = give(kwargs[named])
            result = step(*args, **kwargs)
            self._guard(lambda: self._returned(result), None)
            return result

        # Lightning asks for a step's parameters, and looks through one wrapper only
        training_step.__dict__["__wrapped__"] = getattr(step, "__wrapped__", step)
        vars(self._model)[_STEP] = training_step

    def detach(self) -> None:
        """Put the step back."""
        if self._before is None:
            vars(self._model).pop(_STEP, None)
        else:
            vars(self._model)[_STEP] = self._before

    def loss(self, loss: Any) -> None:
        """Take a loss on which the step's own code runs backward."""
        self._told = True
        self._driven.value(Kind.LOSS, "loss", loss)

    def end(self) -> None:
        """End the step, if one was begun."""
        self._own = self._given = None
        self._driven.end()

    def _given_for(self, batch: Any) -> Any:
        return self._guard(lambda: self._begin(batch), batch)

    def _begin(self, batch: Any) -> Any:
        number = self._trainer.fit_loop.total_batch_idx
        if number == self._number:  # it is called again in this step
            return self._given if batch is self._own else batch
        self._number, self._told = number, False
        self._own, self._given = batch, self._driven.begin(number, batch)
        return self._given

    def _drawing(self, iterator: Iterator[Any]) -> Iterator[Any]:
        return _Drawing(iterator, lambda batch: self._guard(lambda: self._begin_drawn(batch), batch))

    def _begin_drawn(self, batch: Any) -> Any:
        if self._driven.open is not None and self._driven.replaces:
            raise UsageError(
                f"step {self._number} of {self._driven.settings.case} draws several batches from its dataloader_iter, and "
                "the golden has the first: batches='recorded' cannot be; leave it out, and the script's own are compared"
            )
        return self._begin(batch)

    def _returned(self, result: Any) -> None:
        """What a training step returns: the loss, or a table of it and outputs."""
        table = result if isinstance(result, Mapping) else {"loss": result}
        if table.get("loss") is not None and not self._told:
            self._driven.value(Kind.LOSS, "loss", table["loss"])
        outputs = {name: value for name, value in table.items() if name != "loss" and _comparable(value)}
        if outputs:
            self._driven.value(Kind.OUTPUT, "outputs", outputs)


class _Drawing:
    """A ``dataloader_iter`` whose first batch begins the step."""

    def __init__(self, own: Iterator[Any], begin: Callable[[Any], Any]) -> None:
        self._own = own
        self._begin = begin

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        batch, *rest = next(self._own)
        return (self._begin(batch), *rest)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)


def _comparable(value: Any) -> bool:
    """Whether there are tensors or numbers in a value, and nothing else."""
    with suppress(UsageError):
        tensors(value, "")
        return True
    return False
