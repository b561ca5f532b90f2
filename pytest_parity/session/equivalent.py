"""Two live models, without pytest: ``assert_equivalent``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_parity.capture import POLICIES
from pytest_parity.compare.tolerance import make
from pytest_parity.compare.valid import Valid
from pytest_parity.errors import UsageError
from pytest_parity.result import Comparison
from pytest_parity.session.explore import explore, has_strategy
from pytest_parity.session.pair import Pair
from pytest_parity.session.pairing import Loss, Model, OptimizerFactory, PairOptions, adamw
from pytest_parity.session.together import together
from pytest_parity.settings import MarkerOptions, Mode, Settings
from pytest_parity.site import Kind

__all__ = ["assert_equivalent", "compare_pair", "pair_options"]


def assert_equivalent(
    reference: Model,
    candidate: Model,
    inputs: Any,
    *,
    names: Any = None,
    loss: Loss | None = None,
    optimizer: OptimizerFactory | Sequence[OptimizerFactory] | None = adamw,
    kinds: Iterable[str] | None = None,
    valid: Mapping[str, Valid] | None = None,
    replay: Iterable[str] | None = None,
    ignore: Iterable[str] | None = None,
    coverage: float | None = None,
    tolerances: Mapping[str, Any] | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    factor: float | None = None,
    rng: str = "keyed",
    seed: int = 0,
    draws: int = 3,
    train: bool | None = True,
    input_gradients: bool = True,
    settings: Any = None,
) -> Comparison:
    """Run two models on the same input and weights: forward, backward and one optimizer step, everything compared.

    ``reference`` and ``candidate`` are modules, which run as copies and are not changed, or functions without arguments
    that build a new one each time. The candidate takes the reference's weights through the name map ``names``
    (candidate to reference). ``inputs`` is a tensor, a tuple of positional arguments, a dict of keyword arguments, or a
    hypothesis strategy of one of these, or with strategies in it: then it is shrunk to the smallest input on which the
    two disagree (``settings``: hypothesis' own).

    ``loss`` makes a scalar of the output; without it every element of every floating output has a weight of its own in
    one. ``optimizer`` makes an optimizer of the trainable parameters, two of them make the reference's and the
    candidate's, ``None`` takes no step. ``train`` puts both into training mode (``False``: evaluation mode, ``None``:
    as they are). ``input_gradients`` has floating inputs require a gradient, and compares it.

    Judged by the noise floor, from ``draws`` runs of the reference with weights, inputs and what each operation computes
    in float32 and float64 moved by one unit in the last place (0: by the defaults of the dtype), times ``factor``, or by
    ``rtol`` and ``atol``, or by a table ``tolerances``, as in ``parity.watch``; ``kinds`` (weights are always among them),
    ``valid``, ``replay``, ``ignore``, ``coverage`` and ``rng`` are also as there. The caller's random generators are as
    before. Returns what was compared.

    Raises ``ParityFailure`` with the first divergence, ``UsageError`` on what cannot be run.
    """
    options = pair_options(
        names=names,
        loss=loss,
        optimizer=optimizer,
        kinds=kinds,
        valid=valid,
        replay=replay,
        ignore=ignore,
        coverage=coverage,
        tolerances=tolerances,
        rtol=rtol,
        atol=atol,
        factor=factor,
        draws=draws,
        train=train,
        input_gradients=input_gradients,
    )
    nowhere = Path(os.devnull)
    base = Settings(mode=Mode.CHECK, case="", root=nowhere, out=nowhere, seed=seed, marker=MarkerOptions(rng=rng))
    return compare_pair(reference, candidate, inputs, options, base, settings=settings)


def pair_options(
    *,
    tolerances: Mapping[str, Any] | None,
    kinds: Iterable[str] | None,
    rtol: float | None,
    atol: float | None,
    factor: float | None,
    **options: Any,
) -> PairOptions:
    """What a call asks for; its numbers come before its table."""
    if isinstance(kinds, str):
        raise UsageError(f"assert_equivalent(kinds={kinds!r}) is one string, and several are asked for: ({kinds!r},)")
    whole = make(rtol, atol, "assert_equivalent", factor)
    numbers = {"factor": factor} if factor is not None else {"rtol": rtol, "atol": atol}
    table = {**(tolerances or {}), **({"*": numbers} if whole is not None else {})}
    chosen = None if kinds is None else (Kind.WEIGHT.value, *kinds)  # the candidate takes them over
    return PairOptions(tolerances=table, kinds=chosen, **options)


def compare_pair(
    reference: Model, candidate: Model, inputs: Any, options: PairOptions, base: Settings, *, settings: Any
) -> Comparison:
    """Compare on one input, or on those that a strategy draws."""
    if base.marker.rng is not None and base.marker.rng not in POLICIES:
        raise UsageError(f"rng={base.marker.rng!r} is none of {', '.join(POLICIES)}")
    if options.draws < 0:
        raise UsageError(f"assert_equivalent(draws={options.draws}): the draws of the noise floor are 0 or more")
    pair = Pair(reference, candidate, options, base)
    searched = has_strategy(inputs)
    found = together(pair.case, explore(inputs, pair, settings)) if searched else pair.compare(inputs)
    if not pair.computed:
        raise UsageError(
            f"{pair.case}: the reference computes nothing from {'any of these inputs' if searched else 'this input'}: what "
            "its modules return is empty, and so is the output; give inputs that have elements"
        )
    return found
