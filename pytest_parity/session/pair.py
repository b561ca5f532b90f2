"""Pair: two models in one process, by the same capture, names, noise floor and verdicts, with no golden on disk.

The reference's step is recorded into memory, the candidate's is checked against it. Each run is on a fresh copy of its
model, so that the caller's are never touched.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from pytest_parity.capture import kept_generators, leaves
from pytest_parity.compare.valid import resolve
from pytest_parity.errors import ParityFailure, UsageError
from pytest_parity.golden.volatile import Volatile, VolatileGolden
from pytest_parity.report import failure_text
from pytest_parity.result import Comparison, Recorded
from pytest_parity.session.arguments import Arguments, mapped
from pytest_parity.session.pairing import Model, PairOptions
from pytest_parity.session.parity import Parity
from pytest_parity.session.projection import projection
from pytest_parity.session.sides import Side, sides
from pytest_parity.settings import Mode, Settings
from pytest_parity.site import Kind

__all__ = ["Pair", "annotated"]

_NOWHERE = Path(os.devnull)


class Pair:
    """Two models and the step that both take. ``settings`` gives seed, memory, rng policy and the tolerances behind."""

    def __init__(self, reference: Model, candidate: Model, options: PairOptions, settings: Settings) -> None:
        self._reference, self._candidate = sides(reference, candidate, options.optimizer)
        self._options = options
        self.case = f"{self._candidate.name} against {self._reference.name}"
        self.computed = False
        """Whether some module of the reference returned an element so far, or it itself."""
        # it has no place on disk, and what is said of the test's own golden does not hold for it
        self._settings = replace(settings, case=self.case, root=_NOWHERE, out=_NOWHERE, reason="", config=None)

    def arguments(self, inputs: Any) -> Arguments:
        """The inputs by the names that the reference gives them."""
        return Arguments.of(inputs, self._reference.inputs)

    def compare(self, inputs: Any) -> Comparison:
        """Run both on one input; raises ``ParityFailure`` where they differ. The caller's generators are as before."""
        held, given = Volatile(), self.arguments(inputs)
        with torch.inference_mode(mode=False), torch.enable_grad():
            recorded = self._run(Mode.RECORD, held, lambda parity: self._step(parity, self._reference, given))
            self.computed = self.computed or _computed(held.golden())
            notes = recorded.notes if held.golden().noise is None else ()  # why there is no floor
            try:
                found = self._run(Mode.CHECK, held, lambda parity: self._step(parity, self._candidate, given))
            except ParityFailure as failure:
                raise annotated(failure, notes) from None
        assert isinstance(found, Comparison)
        return replace(found, notes=(*found.notes, *notes))

    def _run(self, mode: Mode, held: Volatile, body: Callable[[Parity], None]) -> Comparison | Recorded:
        with kept_generators():  # under rng="off" too both sides draw from where the caller is
            return self._concluded(mode, held, body)

    def _concluded(self, mode: Mode, held: Volatile, body: Callable[[Parity], None]) -> Comparison | Recorded:
        parity = Parity(replace(self._settings, mode=mode, volatile=held, draws=self._options.draws))
        try:
            body(parity)
            return parity.finish(parity.repeating(body))
        finally:
            parity.abandon()

    def _step(self, parity: Parity, side: Side, given: Arguments) -> None:
        """The body of the test that both sides are: forward, backward, one step."""
        options, model = self._options, side.build()
        if options.train is not None:
            model.train(options.train)
        for parameter in model.parameters():
            parameter.grad = None
        optimizer = side.optimizer(model)
        watch = parity.watch(
            model,
            optimizer=optimizer,
            kinds=options.kinds,
            names=options.names,
            valid=options.valid,
            replay=options.replay,
            ignore=options.ignore,
            coverage=options.coverage,
            tolerances=options.tolerances,
        )
        with watch, suppress(ParityFailure), parity.collect():  # finish() raises, with all there is to say
            parity.load(model)
            held = {name: parity.input(name, partial(self._fresh, value)) for name, value in given.values.items()}
            with parity.jittered():
                out = _called(model, side, replace(given, values=held))
                loss = self._loss(out, held)
            parity.assert_outputs(out)
            if loss is None:
                return
            parity.assert_loss(loss.detach())
            if loss.requires_grad:
                with parity.jittered():
                    loss.backward()  # type: ignore[no-untyped-call]
                if any(tensor is not None and tensor.requires_grad for _, tensor in leaves(held)):
                    parity.assert_input_gradients()
                if optimizer is not None:
                    optimizer.step()

    def _fresh(self, value: Any) -> Any:
        """An input of this run's own, which has a gradient where it can."""
        return mapped(value, lambda tensor: tensor.detach().requires_grad_(self._differentiates(tensor)))

    def _differentiates(self, tensor: torch.Tensor) -> bool:
        return self._options.input_gradients and (tensor.is_floating_point() or tensor.is_complex())

    def _loss(self, out: Any, held: Mapping[str, Any]) -> torch.Tensor | None:
        if self._options.loss is None:
            return projection(out, self._settings.seed, resolve(self._options.valid or {}, held))
        loss = self._options.loss(out)
        if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
            what = f"shape {tuple(loss.shape)}" if isinstance(loss, torch.Tensor) else f"a {type(loss).__name__}"
            raise UsageError(f"assert_equivalent(loss=...) gave {what}; return one number, a tensor of one element")
        if not loss.requires_grad and any(one is not None and one.requires_grad for _, one in leaves(out)):
            raise UsageError(
                "assert_equivalent(loss=...) gave a number that no gradient flows through, although one flows through the "
                "output, so nothing could be compared backward; compute it without detach(), item() and argmax()"
            )
        return loss


def annotated(failure: ParityFailure, notes: Sequence[str]) -> ParityFailure:
    """The failure, with more to say below its numbers, and nothing of the environment, which is one for both."""
    if failure.comparison is None:
        return failure
    comparison = replace(failure.comparison, character=None, notes=(*notes, *failure.comparison.notes))
    return ParityFailure(failure_text(comparison), comparison)


def _computed(golden: VolatileGolden) -> bool:
    made = frozenset({Kind.ACTIVATION, Kind.OUTPUT})
    return any(entry.nbytes for entry in golden.entries(0) if entry.site.kind in made)


def _called(model: torch.nn.Module, side: Side, given: Arguments) -> Any:
    # a leaf that requires a gradient refuses changes in place, which a model may make
    own = {name: mapped(value, torch.clone) for name, value in given.values.items()}
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", "The .grad attribute of a Tensor that is not a leaf"
            )  # dynamo asks for it
            return replace(given, values=own).call(model)
    except Exception as error:
        if hasattr(error, "add_note"):  # Python 3.11 and later
            error.add_note(f"raised by the {side.role}, {type(model).__name__}")
        raise
