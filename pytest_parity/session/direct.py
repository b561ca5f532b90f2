"""The same without pytest: compare two values, or observe a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from pytest_parity.capture import Capture, Observe, Streams, leaves
from pytest_parity.compare.judge import judge
from pytest_parity.compare.tally import Found, Tally
from pytest_parity.compare.tolerance import Tolerances, make
from pytest_parity.diagnose import first_divergence
from pytest_parity.errors import ParityFailure
from pytest_parity.names import BoundNames
from pytest_parity.report import failure_text
from pytest_parity.result import Delta, Verdict
from pytest_parity.session.values import tensors
from pytest_parity.site import DEFAULT_KINDS, Kind, Site

__all__ = ["assert_parity", "capture_model"]


def assert_parity(
    actual: Any, expected: Any, *, rtol: float | None = None, atol: float | None = None, name: str = "value"
) -> None:
    """Compare two trees of tensors, arrays and numbers, leaf by leaf, in the order of ``expected``.

    Judged as a golden is: bit for bit first, then ``|actual - expected| <= atol + rtol * |expected|`` (both or
    neither; else the defaults of ``torch.testing`` for the dtype); another shape or dtype fails, and so does a leaf
    that only one of the two has. Raises ``ParityFailure``.
    """
    call, chosen = make(rtol, atol, "assert_parity"), Tolerances()
    ours, theirs = _leaves(actual, name), _leaves(expected, name)
    found: dict[Site, Found | Delta] = {}
    for order, site in enumerate(dict.fromkeys([*theirs, *ours])):
        delta = Delta(str(site), 0, order, Verdict.MISSING)
        if site in ours and site in theirs:
            one, other = ours[site], theirs[site]
            tolerance = chosen.of(site, _dtype(one), _dtype(other), call)
            outcome = judge(one, other, tolerance)
            delta = Delta(
                str(site), 0, order, outcome.verdict, outcome.elements, tolerance, outcome.metrics, "", outcome.detail
            )
        elif site in ours:
            delta = Delta(str(site), 0, order, Verdict.EXTRA)
        found[site] = delta
    if not found:
        raise ParityFailure(f"{name}: there is no tensor in either, so nothing was compared")
    tally = Tally().plus(found)
    if tally.first:
        comparison = tally.comparison(name, expected=len(theirs), steps=())
        comparison = replace(comparison, diagnosis=first_divergence(tally.first, names=BoundNames.identity()))
        raise ParityFailure(failure_text(comparison), comparison)


def _leaves(value: Any, name: str) -> dict[Site, torch.Tensor | None]:
    return {
        Site(Kind.OUTPUT, name, leaf="" if leaf == "out" else leaf): tensor
        for leaf, tensor in leaves(tensors(value, name), "out")
    }


def _dtype(tensor: torch.Tensor | None) -> str:
    return "none" if tensor is None else str(tensor.dtype).removeprefix("torch.")


@contextmanager
def capture_model(
    model: torch.nn.Module,
    sink: Observe,
    *,
    optimizer: torch.optim.Optimizer | None = None,
    kinds: Iterable[str] | None = None,
) -> Iterator[Capture]:
    """Hand every observation of one step to ``sink(site, tensor)``, at the moment it is made.

    The tensor is the model's own and may change as soon as ``sink`` returns: copy what is to be kept. Random
    generators are not touched.
    """
    capture = Capture(
        model,
        sink,
        optimizers=() if optimizer is None else (optimizer,),
        streams=Streams("capture", policy="off"),
        names=BoundNames.identity(),
        kinds=DEFAULT_KINDS if kinds is None else frozenset(map(Kind, kinds)),
    )
    capture.attach()
    try:
        capture.begin_step(0)
        yield capture
        capture.end_step()
    finally:
        capture.modules.end_step()
        capture.detach()
