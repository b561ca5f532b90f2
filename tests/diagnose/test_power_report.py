"""The power test's words: each test's section, its failure's first line, and the way there as plain data."""

from __future__ import annotations

import json
import math

from pytest_parity.report.power import CAUGHT, ERROR, ESCAPED, NO_EFFECT, Power, Reach, Tried, power_line, power_lines
from pytest_parity.result import Tolerance

TRIED = (
    Tried("weight times 1.01", "head", "Linear at depth 1", CAUGHT, {"activation": 2, "gradient": 3}),
    Tried("weight times 1.01", "norm", "LayerNorm at depth 1", CAUGHT, {"gradient": 1}),
    Tried("swapped with layers.1", "layers.0", "Block at depth 2", ESCAPED, {}),
    Tried("mask inverted", "head", "Linear at depth 1", CAUGHT, {ERROR: 1}, "RuntimeError: no"),
    Tried("dropout toggled", "drop", "Dropout at depth 1", NO_EFFECT, {}),
)
REACH = (
    Reach("activation", Tolerance(0.0, 0.0, "noise floor", 10.0), 4, 1e-6, 5e-6, 2.5e-5, "activation/head#0"),
    Reach("gradient", Tolerance(1e-4, 1e-7, "marker"), 2, 1e-4, 1e-4, math.inf, "gradient/head.bias"),
)
POWER = Power(TRIED, REACH, runs=7, left_out=3, notes=("no fault was put into compiled regions: rnn",))


def test_the_section_of_a_test():
    assert power_lines("mlp", POWER) == [
        "mlp: 5 faults tried in 7 runs: 3 caught, 1 escaped, 1 no effect",
        "    fault              tried  caught  escaped  no effect  caught at",
        "    weight times 1.01      2       2        0          0  gradient 2, activation 1",
        "    layers swapped         1       0        1          0",
        "    mask inverted          1       1        0          0  error 1",
        "    dropout toggled        1       0        0          1",
        "  ESCAPED: swapped with layers.1 in layers.0 (Block at depth 2)",
        "  caught by an error of the test's own: mask inverted in head: RuntimeError: no",
        "  no effect, every bit of the run is the same: dropout toggled in drop",
        "  smallest scale error that is caught:",
        "    kind        sites  at one site     at half  at every site  tolerance                         bluntest site",
        "    activation      4    1 + 1e-06   1 + 5e-06    1 + 2.5e-05  10 noise floors                   activation/head#0",
        "    gradient        2   1 + 0.0001  1 + 0.0001           none  rtol=0.0001, atol=1e-07 (marker)  gradient/head.bias",
        "  3 further faults left out: the ini option parity_selftest_limit allows 5 a test",
        "  no fault was put into compiled regions: rnn",
    ]


def test_what_escaped_is_the_first_line_of_the_failure():
    assert power_line("mlp", POWER) == "mlp: 1 of 5 faults escaped: swapped with layers.1 in layers.0"


def test_faults_that_change_nothing_test_nothing():
    power = Power(TRIED[-1:], runs=3)
    assert not power.passed
    assert power_line("mlp", power) == "mlp: none of 1 fault changed anything, so nothing was tested"


def test_a_test_that_could_not_be_tested_says_why():
    refused = Power(refused="no model is watched")
    assert power_lines("mlp", refused) == ["mlp: no self-test: no model is watched"]
    assert not refused.passed
    assert Power(refused="no model is watched", excused=True).passed


def test_it_travels_as_plain_data():
    assert Power.from_plain(json.loads(json.dumps(POWER.to_plain()))) == POWER
