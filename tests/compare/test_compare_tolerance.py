from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch.testing._comparison import get_tolerances

from pytest_parity.compare.tolerance import Tolerances, default_tolerance, make
from pytest_parity.errors import ToleranceError
from pytest_parity.result import Tolerance
from pytest_parity.site import Kind, Site

ACTIVATION = Site(Kind.ACTIVATION, "encoder.layers.3.norm", 0)
GRADIENT = Site(Kind.GRADIENT, "encoder.layers.3.norm.weight")
DTYPES = ["float16", "bfloat16", "float32", "float64", "complex64", "complex128", "int64", "bool", "uint8"]


def numbers(tolerance: Tolerance) -> tuple[float, float]:
    return tolerance.rtol, tolerance.atol


@pytest.mark.parametrize("actual", DTYPES)
@pytest.mark.parametrize("expected", DTYPES)
def test_defaults_are_those_of_torch_testing(actual: str, expected: str):
    theirs = get_tolerances(getattr(torch, actual), getattr(torch, expected), rtol=None, atol=None)
    assert numbers(default_tolerance(actual, expected)) == theirs


def test_both_numbers_or_neither():
    assert make(None, None, "marker") is None
    assert make(1e-3, 0, "marker") == Tolerance(1e-3, 0.0, "marker")


@pytest.mark.parametrize(
    ("rtol", "atol", "message"),
    [
        (1e-3, None, r"marker: rtol=0.001 without atol; give both, for instance rtol=0.001, atol=0.0"),
        (None, 1e-3, r"marker: atol=0.001 without rtol; give both"),
        (-1.0, 0.0, r"marker: rtol=-1.0; it must be a finite number that is not negative"),
        (0.0, math.nan, r"marker: atol=nan; it must be a finite"),
        (math.inf, 0.0, r"marker: rtol=inf; it must be a finite"),
        ("1e-3", 0.0, r"marker: rtol='1e-3' is not a number"),
        (True, 0.0, r"marker: rtol=True is not a number"),
    ],
)
def test_a_tolerance_that_makes_no_sense_is_refused(rtol: Any, atol: Any, message: str):
    with pytest.raises(ToleranceError, match=message):
        make(rtol, atol, "marker")


def test_the_call_beats_the_marker_beats_the_table_beats_the_dtype():
    levels = [("marker", {"*": (1e-2, 2e-2)}), ("parity_tolerances", {"activation": (3e-2, 4e-2)})]
    call = Tolerance(0.5, 0.5, "call")
    assert Tolerances(levels).of(ACTIVATION, "float32", "float32", call) is call
    assert numbers(Tolerances(levels).of(ACTIVATION, "float32", "float32")) == (1e-2, 2e-2)
    assert numbers(Tolerances(levels[1:]).of(ACTIVATION, "float32", "float32")) == (3e-2, 4e-2)
    assert numbers(Tolerances(levels[1:]).of(GRADIENT, "float32", "float32")) == (1.3e-6, 1e-5)
    assert numbers(Tolerances().of(ACTIVATION, "bfloat16", "float32")) == (1.6e-2, 1e-5)


def test_the_origin_says_where_a_tolerance_comes_from():
    tolerances = Tolerances([("parity_tolerances", {"activation/encoder.*": (1e-3, 1e-4)})])
    assert tolerances.of(ACTIVATION, "float32", "float32").origin == "parity_tolerances 'activation/encoder.*'"
    assert tolerances.of(GRADIENT, "float32", "float32").origin == "dtype default"


def test_in_a_table_the_last_pattern_wins_and_a_kind_is_weaker():
    table = {
        "activation/encoder.*": (1e-3, 0.0),
        "activation/*norm#0": {"rtol": 1e-4, "atol": 0.0},
        "activation": (1e-5, 0.0),
    }
    tolerances = Tolerances([("ini", table)])
    assert tolerances.of(ACTIVATION, "float32", "float32").rtol == 1e-4
    assert tolerances.of(Site(Kind.ACTIVATION, "encoder.drop", 0), "float32", "float32").rtol == 1e-3
    assert tolerances.of(Site(Kind.ACTIVATION, "head", 0), "float32", "float32").rtol == 1e-5


def test_a_site_is_looked_up_once():
    tolerances = Tolerances([("ini", {"activation/*": (1e-3, 0.0)})])
    first = tolerances.of(ACTIVATION, "float32", "float32")
    assert tolerances.of(Site(Kind.ACTIVATION, "encoder.layers.3.norm", 0), "float32", "float32") is first
    assert numbers(Tolerances().of(ACTIVATION, "float32", "float32")) != numbers(
        Tolerances().of(ACTIVATION, "float64", "float64")
    )


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            {"activations": (1e-3, 0.0)},
            r"ini: 'activations' is neither a kind nor a pattern; did you mean 'activation'\?",
        ),
        (
            {"nonsense": (1e-3, 0.0)},
            r"kinds are batch, weight, probe, input, activation, output, loss, activation_gradient",
        ),
        ({"activation": 1e-3}, r"ini 'activation': 0.001 is not a pair \(rtol, atol\)"),
        ({"activation": (1e-3,)}, r"is not a pair"),
        ({"activation": "ab"}, r"is not a pair"),
        ({"activation": {"rtol": 1e-3}}, r"ini 'activation': rtol=0.001 without atol"),
        ({"activation": {"rtol": 1e-3, "tol": 1}}, r"unknown 'tol'; a tolerance has rtol and atol"),
        ({"activation": (None, None)}, r"neither rtol nor atol"),
        ({"activation/*": (1e-3, -1.0)}, r"ini 'activation/\*': atol=-1.0"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(table: dict[str, Any], message: str):
    with pytest.raises(ToleranceError, match=message):
        Tolerances([("ini", table)])


def imports_torch(module: str) -> bool:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    return subprocess.run([sys.executable, "-c", code], check=False).returncode == 1


def test_tolerances_are_read_without_torch():
    assert not imports_torch("pytest_parity.compare.tolerance")
    assert imports_torch("pytest_parity.compare.judge")
