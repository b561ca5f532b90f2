"""Explore: a pair on inputs that hypothesis draws, and the smallest one on which the two disagree."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from pytest_parity.capture import leaves
from pytest_parity.errors import ParityFailure, UsageError
from pytest_parity.report.inputs import flaky_lines, input_line, smallest_lines
from pytest_parity.result import Comparison, Fault
from pytest_parity.session.pair import Pair, annotated

__all__ = ["explore", "has_strategy"]

_VALUES = 9
_EXAMPLES = 50
"""Inputs tried; each takes a step of the candidate, and of the reference one, another, and a draw's each."""


class _Disagreement(Exception):
    """What hypothesis sees: one place to fail from, so that it shrinks one failure and not several."""


def is_strategy(value: Any) -> bool:
    """Whether it is one of hypothesis', which is not imported for the question."""
    module = sys.modules.get("hypothesis.strategies")
    return module is not None and isinstance(value, module.SearchStrategy)


def has_strategy(value: Any) -> bool:
    """Whether it is one, or a dict, list or tuple with one somewhere in it."""
    if isinstance(value, Mapping):
        value = tuple(value.values())
    return any(map(has_strategy, value)) if isinstance(value, (list, tuple)) else is_strategy(value)


class _Search:
    """The inputs tried so far; ``failure`` is that of the last one, which at the search's end is the smallest.

    What first failed in the forward pass is shrunk as that: a smaller input on which only a gradient differs (zeros,
    often) says less.
    """

    def __init__(self, pair: Pair) -> None:
        self.passed: list[Comparison] = []
        self.tried = 0
        self.failure: ParityFailure | None = None
        self.lines: list[str] = []
        self._pair = pair
        self._stage: int | None = None

    def test(self, inputs: Any) -> None:
        """One input."""
        failure = self._failure(inputs)
        if failure is not None:
            raise _Disagreement

    def _failure(self, inputs: Any) -> ParityFailure | None:
        self.tried += 1
        lines = list(_lines(self._pair.arguments(inputs).values))  # before anything runs
        try:
            self.passed.append(self._pair.compare(inputs))
        except ParityFailure as failure:
            stage = _stage(failure)
            if self._stage is None:
                self._stage = stage
            if stage > self._stage:
                return None
            self.failure, self.lines = failure, lines
            return failure
        except Exception as error:
            if hasattr(error, "add_note"):  # Python 3.11 and later
                error.add_note("on this input: " + "; ".join(lines))
            raise
        return None


def _stage(failure: ParityFailure) -> int:
    """Where in a step it fails: forward, backward, at the optimizer's step."""
    diagnosis = failure.comparison.diagnosis if failure.comparison else None
    if diagnosis is None:
        return 0
    backward = dict.fromkeys((Fault.BACKWARD, Fault.NO_GRADIENT, Fault.CUT, Fault.LOOP), 1)
    return {**backward, Fault.UPDATE: 2}.get(diagnosis.fault, 0)


def explore(strategy: Any, pair: Pair, settings: Any) -> list[Comparison]:
    """Compare on drawn inputs, all of them or up to the smallest that fails; the comparisons of those that passed.

    ``strategy`` is one, or a tree of them and of plain values.
    ``settings`` are hypothesis' own; without them the same inputs are drawn each time. There is no deadline and no
    health check: a step is as slow as the models are. Raises ``ParityFailure`` with the smallest input, also where the
    two disagree at one time and agree at another.
    """
    import hypothesis  # noqa: PLC0415  an extra
    from hypothesis.errors import Flaky  # noqa: PLC0415

    from pytest_parity.strategies import batches  # noqa: PLC0415

    search = _Search(pair)

    def agree(inputs: Any) -> None:
        search.test(inputs)

    try:
        _settings(settings)(hypothesis.given(inputs=batches(strategy))(agree))()
    except _Disagreement:
        pass
    except Flaky as error:
        if search.failure is None:
            raise
        raise annotated(search.failure, flaky_lines(search.lines)) from error
    else:
        return search.passed
    assert search.failure is not None
    raise annotated(search.failure, smallest_lines(search.lines, search.tried))


def _settings(given: Any) -> Any:
    from hypothesis import HealthCheck, Phase, settings  # noqa: PLC0415

    if given is not None and not isinstance(given, settings):
        raise UsageError(
            f"assert_equivalent(settings=...) takes hypothesis.settings(max_examples=...), and was given {given!r}"
        )
    base = settings(max_examples=_EXAMPLES, derandomize=True, database=None) if given is None else given
    return settings(
        base,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
        phases=[phase for phase in base.phases if phase is not Phase.explain],  # it tells of values, in many more runs
    )


def _lines(given: Mapping[str, Any]) -> list[str]:
    return [line for name, value in given.items() for line in _described(name, value)]


def _described(name: str, value: Any) -> list[str]:
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(np.ascontiguousarray(value))
    lines = [
        input_line(
            leaf,
            str(tensor.dtype).removeprefix("torch."),
            tensor.shape,
            tensor.detach().reshape(-1)[:_VALUES].tolist(),
            tensor.numel(),
        )
        for leaf, tensor in leaves(value, name)
        if tensor is not None
    ]
    return lines or [f"{name}: {value!r:.60}"]
