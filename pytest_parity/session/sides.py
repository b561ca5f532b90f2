"""Sides: the two models of a pair; each run is on a model of its own, so that the caller's are never touched."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch

from pytest_parity.capture import kept_generators, needs_closure
from pytest_parity.errors import UsageError
from pytest_parity.session.arguments import positional_names
from pytest_parity.session.pairing import Model, OptimizerFactory

__all__ = ["Side", "sides"]


class Side:
    """One of the two: ``role`` is ``reference`` or ``candidate``; ``name`` its class, ``inputs`` what it calls them."""

    def __init__(self, role: str, source: Model, optimizer: OptimizerFactory | None) -> None:
        self.role = role
        self._source = source
        self._optimizer = optimizer
        model = source if isinstance(source, torch.nn.Module) else self._probed()
        self.name = type(model).__name__
        self.inputs = positional_names(model)

    def build(self) -> torch.nn.Module:
        """A model of this run's own."""
        if not isinstance(self._source, torch.nn.Module):
            return self._made()
        try:
            return copy.deepcopy(self._source)
        except Exception as error:
            raise UsageError(
                f"the {self.role}, a {type(self._source).__name__}, cannot be copied ({type(error).__name__}: {error}), "
                "and both models run as copies; give a function that builds it: assert_equivalent(lambda: build(), ...)"
            ) from error

    def optimizer(self, model: torch.nn.Module) -> torch.optim.Optimizer | None:
        """The optimizer of what is trainable, if there is anything, and a step to take."""
        trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if self._optimizer is None or not trainable:
            return None
        made = self._optimizer(trainable)
        if needs_closure(made):
            raise UsageError(
                f"assert_equivalent(optimizer=...): {type(made).__name__} steps by a closure that runs the model again, and "
                "a pair runs once; give optimizer=None, and compare that step in a test with parity.watch(optimizer=...)"
            )
        return made

    def _probed(self) -> torch.nn.Module:
        """A model that is not run. Built twice, since one that is there already would be changed by every run."""
        with kept_generators():
            model, again = self._made(), self._made()
        if model is again:
            raise UsageError(
                f"the function given as the {self.role} gave the same {type(model).__name__} twice, and each run needs "
                "one of its own; give the model itself, which is copied, or a function that builds a new one"
            )
        return model

    def _made(self) -> torch.nn.Module:
        assert not isinstance(self._source, torch.nn.Module)
        if not callable(self._source):
            raise UsageError(
                f"the {self.role} is a {type(self._source).__name__}; give a torch.nn.Module, or a function that builds one"
            )
        model = self._source()
        if not isinstance(model, torch.nn.Module):
            raise UsageError(
                f"the function given as the {self.role} built a {type(model).__name__}, and no torch.nn.Module"
            )
        return model


def sides(reference: Model, candidate: Model, optimizer: Any) -> tuple[Side, Side]:
    """Both sides; ``optimizer`` is one function for the two, or one for each."""
    first, second = _factories(optimizer)
    return Side("reference", reference, first), Side("candidate", candidate, second)


def _factories(optimizer: Any) -> Sequence[OptimizerFactory | None]:
    both = tuple(optimizer) if isinstance(optimizer, (tuple, list)) else (optimizer, optimizer)
    given = [one for one in both if one is not None]
    if (
        len(both) != 2  # noqa: PLR2004
        or len(given) == 1
        or any(isinstance(one, torch.optim.Optimizer) or not callable(one) for one in given)
    ):
        raise UsageError(
            "assert_equivalent(optimizer=...) takes a function from parameters to their optimizer, "
            "optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1), or two: the reference's, the candidate's; "
            "None is for both"
        )
    return both
