"""Normalisations: eps, weight, bias, variance, the mode and the running statistics of batch normalisation."""

from __future__ import annotations

import copy

import pytest
import torch
from hint_faults import Code, RMSNorm, behind, changed, filled
from specimens import bare, call, cause, specimen, text
from torch import nn
from torch.nn import functional

from pytest_parity.diagnose.specimen import Specimen
from pytest_parity.result import Cause, Part

DRAW = torch.Generator().manual_seed(0)
X = torch.randn(4, 10, 32, generator=DRAW)
NORM = filled(nn.LayerNorm(32))
BATCHNORM = filled(nn.BatchNorm1d(10))
BATCHNORM.running_var.fill_(1.3)


@pytest.mark.parametrize("repeatable", [True, False])
@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize(
    ("module", "name"),
    [
        (NORM, "eps"),
        (RMSNorm(32, eps=1e-5), "variance_epsilon"),
        (BATCHNORM, "eps"),
        (filled(nn.GroupNorm(2, 10)), "eps"),
    ],
)
def test_another_eps_is_told_with_both(module: nn.Module, name: str, told: bool, repeatable: bool):
    other = changed(module, lambda own: setattr(own, name, 1e-3))
    one = specimen(module, other, X * 0.1, told=told, repeatable=repeatable)
    assert cause(one) is Cause.EPS
    assert "1e-05 in place of 0.001 it agrees" in text(one)


def test_an_eps_in_the_code_is_told_with_its_line():
    written = Code(
        lambda own, x: functional.layer_norm(x, (32,), own.weight, own.bias, 1e-3), weight=NORM.weight, bias=NORM.bias
    )
    assert "with eps 1e-05 in place of 0.001 it agrees" in text(specimen(NORM, written, X * 0.1))


def test_smaller_ones_that_the_data_cannot_tell_apart_are_said_to_be():
    here = changed(NORM, lambda own: setattr(own, "eps", 1e-4))
    there = changed(NORM, lambda own: setattr(own, "eps", 1e-8))
    assert "(or another as small)" in text(specimen(there, here, X))


@pytest.mark.parametrize("factor", [1.05, 1.0001, 0.9999])
def test_a_factor_is_not_taken_for_an_eps(factor: float):
    assert cause(
        specimen(NORM, behind(NORM, lambda out: (out - NORM.bias) * factor + NORM.bias), X, repeatable=False)
    ) in {
        Cause.FACTOR,
        Cause.WEIGHT,
    }


def test_a_variance_by_n_minus_1():
    def unbiased(own, x):
        return (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, keepdim=True) + 1e-5) * own.weight + own.bias

    one = specimen(NORM, Code(unbiased, weight=NORM.weight, bias=NORM.bias), X)
    assert cause(one) is Cause.BATCHNORM
    assert "with the variance divided by n in place of n - 1" in text(one)


def test_a_weight_to_which_one_is_added():
    norm = RMSNorm(32)
    other = changed(norm, lambda own: setattr(own, "plus", 1.0))
    assert cause(specimen(norm, other, X, repeatable=False)) is Cause.SCALE
    assert "here after adding 1" in text(specimen(norm, other, X, repeatable=False))


def test_a_weight_that_is_left_out():
    bypassed = changed(
        NORM, lambda own: setattr(own, "forward", lambda x: functional.layer_norm(x, (32,), None, own.bias))
    )
    one = specimen(NORM, bypassed, X, repeatable=False)
    assert cause(one) is Cause.SCALE
    assert text(one).startswith("its weight is multiplied with once in the reference, here not at all")


@pytest.mark.parametrize("repeatable", [True, False])
@pytest.mark.parametrize(
    ("training", "words"), [(True, "uses the batch's statistics"), (False, "uses its running statistics")]
)
def test_batch_normalisation_in_the_other_mode(training: bool, words: str, repeatable: bool):
    reference = changed(BATCHNORM, lambda own: own.train(training))
    other = changed(BATCHNORM, lambda own: own.train(not training))
    one = specimen(reference, other, X, repeatable=repeatable)
    assert cause(one) is Cause.BATCHNORM
    assert text(one).startswith(f"the reference's {words}")


def buffer(reference: nn.Module, candidate: nn.Module, name: str) -> Specimen:
    start = getattr(reference, name).clone()
    candidate = copy.deepcopy(candidate)
    held = []
    for module in (copy.deepcopy(reference), copy.deepcopy(candidate)):
        call(module, [X])
        held.append(getattr(module, name))
    floor = 4e-7 * float(held[0].norm())
    return Specimen(Part.BUFFER, candidate, "bn", held[1], held[0], floor, inputs={"in.0": X}, context={"start": start})


@pytest.mark.parametrize("name", ["running_mean", "running_var"])
def test_another_momentum_is_told_with_both(name: str):
    one = buffer(BATCHNORM, changed(BATCHNORM, lambda own: setattr(own, "momentum", 0.2)), name)
    assert cause(one) is Cause.BATCHNORM
    assert text(one).startswith("with momentum 0.1 in place of 0.2 it agrees")


def test_running_statistics_that_are_not_updated():
    one = buffer(BATCHNORM, changed(BATCHNORM, lambda own: own.eval()), "running_mean")
    assert text(one).startswith("it is updated in the reference, and not here")
    other = buffer(changed(BATCHNORM, lambda own: own.eval()), BATCHNORM, "running_mean")
    assert text(other).startswith("it is updated here, and not in the reference")


def test_a_running_variance_by_n():
    one = buffer(BATCHNORM, BATCHNORM, "running_var")
    start = one.context["start"]
    biased = start + 0.1 * (X.var((0, 2), unbiased=False) - start)
    found = Specimen(Part.BUFFER, one.module, "bn", biased, one.expected, one.floor, one.inputs, one.context)
    assert text(found).startswith("with the variance by n - 1 in place of n it agrees")


def test_a_buffer_that_is_noise_away_has_no_cause():
    values = torch.randn(10, generator=DRAW)
    one = bare(values + 1e-3 * torch.randn(10, generator=DRAW), values)
    found = Specimen(
        Part.BUFFER, BATCHNORM, "bn", one.actual, values, one.floor, {"in.0": X}, {"start": torch.zeros(10)}
    )
    assert cause(found) is None
