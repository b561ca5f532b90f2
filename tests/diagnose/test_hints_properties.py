"""Any of the faults in any of the modules: the cause that is told is right, or none is; noise has none."""

from __future__ import annotations

import torch
from hint_faults import STRANGE, RMSNorm, attention, behind, faults_of, filled
from hypothesis import event, given, settings
from hypothesis import strategies as st
from specimens import cause, specimen
from torch import nn


def _modules(width: int) -> dict[str, nn.Module]:
    return {
        "linear": nn.Linear(width, width),
        "wide": nn.Linear(width, 3 * width),
        "bare": nn.Linear(width, 7, bias=False),
        "convolution": nn.Conv1d(6, 5, 3, padding=1),
        "layernorm": nn.LayerNorm(width),
        "rmsnorm": RMSNorm(width),
        "gelu": nn.GELU(),
        "dropout": nn.Dropout(0.2),
        "batchnorm": nn.BatchNorm1d(6),
        "attention": attention(width),
    }


@st.composite
def cases(draw):
    width = draw(st.sampled_from([16, 24, 32]))
    modules = _modules(width)
    module = modules[draw(st.sampled_from(sorted(modules)))]
    if not isinstance(module, RMSNorm) and not hasattr(module, "run"):
        filled(module, draw(st.integers(0, 99)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    x = torch.randn(draw(st.integers(3, 5)), 6, width, generator=generator) * draw(st.sampled_from([0.1, 1.0, 3.0]))
    return module, x


@settings(max_examples=150, deadline=None)
@given(cases(), st.data())
def test_a_cause_that_is_told_is_the_right_one(case, data):
    module, x = case
    faults = faults_of(module)
    name = data.draw(st.sampled_from(sorted(faults)))
    right, make = faults[name]
    anew = data.draw(st.booleans())
    found = cause(specimen(module, make(module), x, repeatable=anew))
    event(f"{'told' if found else 'nothing'}")
    assert found is None or found in right, name


@settings(max_examples=60, deadline=None)
@given(cases(), st.floats(0.5, 2.0), st.integers(5000, 5099))
def test_rounding_has_no_cause(case, size, seed):
    module, x = case
    one = specimen(module, module, x)
    noise = torch.randn(one.expected.shape, generator=torch.Generator().manual_seed(seed)).double()
    moved = one.expected.double() + noise * (size * one.floor / float(noise.norm()))
    other = specimen(module, behind(module, lambda _out: moved.float()), x)
    assert cause(other) is None


@settings(max_examples=60, deadline=None)
@given(cases(), st.sampled_from([4.0, 10.0, 100.0, 1e4]), st.booleans(), st.integers(5000, 5099))
def test_an_error_at_random_has_no_cause(case, floors, anew, seed):
    module, x = case
    one = specimen(module, module, x)
    noise = torch.randn(one.expected.shape, generator=torch.Generator().manual_seed(seed)).double()
    moved = (one.expected.double() + noise * (floors * one.floor / float(noise.norm()))).float()
    other = specimen(module, behind(module, lambda _out: moved.clone()), x, repeatable=anew)
    assert cause(other) is None


@settings(max_examples=80, deadline=None)
@given(cases(), st.sampled_from(sorted(STRANGE)))
def test_a_fault_without_a_closed_form_has_no_cause(case, name):
    module, x = case
    assert cause(specimen(module, STRANGE[name](module), x, repeatable=name == "weights jittered")) is None
