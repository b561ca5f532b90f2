"""Specimens for tests: what a candidate module computes beside its reference, with a floor measured by moving both."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch

from pytest_parity.contract.constants import CLASS, constants
from pytest_parity.diagnose.hints import forward_hints
from pytest_parity.diagnose.specimen import Specimen, distance
from pytest_parity.result import Cause, Part
from pytest_parity.session.moving import moved

SEED = 7
DRAWS = 3


def call(module: torch.nn.Module, inputs: Sequence[torch.Tensor], seed: int = SEED) -> torch.Tensor:
    torch.manual_seed(seed)
    with torch.no_grad():
        out = module(*inputs)
    return out[0] if isinstance(out, tuple) else out


def specimen(
    reference: torch.nn.Module,
    candidate: torch.nn.Module,
    *inputs: torch.Tensor,
    part: Part = Part.OUTPUT,
    context: Mapping[str, torch.Tensor] | None = None,
    repeatable: bool = True,
    seed: int = SEED,
    told: bool = False,
) -> Specimen:
    """What isolation hands over where ``candidate`` stands for ``reference``; ``told``: the golden has the settings."""
    buffers = copy.deepcopy(candidate.state_dict())
    actual, expected = call(candidate, inputs, seed), call(reference, inputs)
    candidate.load_state_dict(buffers)
    return Specimen(
        part=part,
        module=candidate,
        path="block",
        actual=actual,
        expected=expected,
        floor=floor_of(candidate, inputs, actual, expected, seed),
        inputs={f"in.{place}": one for place, one in enumerate(inputs)},
        context=context or {},
        constants=differing(reference, candidate) if told else {},
        again=(lambda: call(candidate, inputs, seed)) if repeatable else None,
    )


def floor_of(candidate, inputs, actual, expected, seed: int = SEED) -> float:
    rounding = (
        torch.finfo(expected.dtype).eps * float(expected.double().norm()) if expected.is_floating_point() else 0.0
    )
    found = [rounding]
    for draw in range(DRAWS):
        other = copy.deepcopy(candidate)
        with torch.no_grad():
            for name, one in other.named_parameters():
                one.copy_(moved(one, f"{draw}{name}"))
        now = call(other, [moved(one, f"{draw}in{place}") for place, one in enumerate(inputs)], seed)
        found.append(distance(now, actual))
    return max(found)


def differing(reference: torch.nn.Module, candidate: torch.nn.Module) -> dict[str, tuple[str, str]]:
    theirs, ours = constants(reference), constants(candidate)
    found = {name: (str(theirs[name]), str(one)) for name, one in ours.items() if theirs.get(name, one) != one}
    if type(reference) is not type(candidate):
        found[CLASS] = (type(reference).__name__, type(candidate).__name__)
    return found


def bare(actual: torch.Tensor, expected: torch.Tensor, floor: float | None = None, **others) -> Specimen:
    """Of two tensors alone."""
    least = torch.finfo(torch.float32).eps * float(expected.double().norm())
    return Specimen(Part.HANDED, None, "block", actual, expected, least if floor is None else floor, **others)


def cause(one: Specimen) -> Cause | None:
    found = forward_hints(one)
    assert len(found) <= 1
    return found[0].cause if found else None


def text(one: Specimen) -> str:
    (found,) = forward_hints(one)
    return found.text
