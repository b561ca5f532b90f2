"""Which number decides: the call's, the marker's, the watch's, the fixture's, the golden's floor, the dtype's default."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from parity_studio import Studio

from pytest_parity.errors import ToleranceError
from pytest_parity.result import Tolerance
from pytest_parity.session.parity import Parity
from pytest_parity.settings import MarkerOptions

OFF = 1e-5
"""Relative: some hundred times the floor."""
LOOSE, TIGHT, WIDE, NARROW = {"rtol": 1e-3, "atol": 0.0}, {"rtol": 1e-8, "atol": 0.0}, {"factor": 1e5}, {"factor": 1e-3}


def body(off: float = 0.0, *, watch: Any = None, call: dict[str, Any] | None = None) -> Callable[[Parity], None]:
    def test(parity: Parity) -> None:
        with parity.watch(torch.nn.Identity(), tolerances=watch):
            x = parity.input("x", lambda: torch.randn(40, 6))
        parity.assert_close("y", x * 1.1 * (1 + off), **(call or {}))

    return test


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    made = Studio(tmp_path_factory.mktemp("recorded"))
    made.record(body(), draws=3)
    return made


def decided(studio: Studio, test: Callable[[Parity], None], **settings: Any) -> Tolerance:
    failure = studio.failure(test, **settings)
    assert failure.comparison is not None
    (delta,) = failure.comparison.failures
    assert delta.tolerance is not None
    return delta.tolerance


def test_where_nothing_is_declared_the_floor_decides(recorded: Studio):
    assert decided(recorded, body(OFF)) == Tolerance(0.0, 0.0, "noise floor", 10.0)


def test_without_a_floor_the_default_of_the_dtype_decides(studio: Studio):
    studio.record(body())
    assert decided(studio, body(1e-3)).origin == "dtype default"


def test_a_factor_declared_where_there_is_no_floor_leaves_the_default_of_the_dtype(studio: Studio):
    studio.record(body())
    assert decided(studio, body(1e-3, call=WIDE)).origin == "dtype default"


LEVELS: list[tuple[str, dict[str, Any], str]] = [
    ("fixture", {"tolerances": {"output": 0}}, "parity_tolerances 'output'"),
    ("watch", {"watch": {"output": 0}}, "watch(tolerances=...) 'output'"),
    ("marker", {"marker": 0}, "marker"),
    ("call", {"call": 0}, "assert_close('y')"),
]


def declared(levels: dict[str, dict[str, float]]) -> tuple[Callable[[float], Callable[[Parity], None]], dict[str, Any]]:
    """A test and settings that declare this at those levels."""
    settings: dict[str, Any] = {}
    if "fixture" in levels:
        settings["tolerances"] = {"output": levels["fixture"]}
    if "ini" in levels:
        settings["factor"] = levels["ini"]["factor"]
    if "marker" in levels:
        settings["marker"] = MarkerOptions(**levels["marker"])  # type: ignore[arg-type]
    watch = {"output": levels["watch"]} if "watch" in levels else None
    return lambda off: body(off, watch=watch, call=levels.get("call")), settings


@pytest.mark.parametrize("level", ["call", "marker", "watch", "fixture", "ini"])
def test_a_larger_factor_lets_a_fault_pass_at_every_level(recorded: Studio, level: str):
    test, settings = declared({level: WIDE})
    assert recorded.check(test(OFF), **settings).passed


@pytest.mark.parametrize("level", ["call", "marker", "watch", "fixture", "ini"])
def test_a_smaller_factor_has_rounding_fail_at_every_level(recorded: Studio, level: str):
    test, settings = declared({level: NARROW})
    assert decided(recorded, test(2**-23), **settings).factor == NARROW["factor"]


@pytest.mark.parametrize("level", ["call", "marker", "watch", "fixture"])
def test_numbers_of_ones_own_are_before_the_floor_at_every_level(recorded: Studio, level: str):
    test, settings = declared({level: LOOSE})
    assert recorded.check(test(OFF), **settings).passed
    test, settings = declared({level: TIGHT})
    assert decided(recorded, test(2**-23), **settings).rtol == 1e-8


ORDER = ["call", "watch", "marker", "fixture", "ini"]


@pytest.mark.parametrize(("stronger", "weaker"), [(a, b) for i, a in enumerate(ORDER) for b in ORDER[i + 1 :]])
@pytest.mark.parametrize("kind", ["factors", "numbers over factors", "factors over numbers"])
def test_the_nearer_level_decides(recorded: Studio, stronger: str, weaker: str, kind: str):
    wide = LOOSE if kind == "numbers over factors" else WIDE
    narrow = TIGHT if kind == "factors over numbers" and weaker != "ini" else NARROW
    test, settings = declared({stronger: wide, weaker: narrow})
    assert recorded.check(test(OFF), **settings).passed
    wide = LOOSE if kind == "factors over numbers" and weaker != "ini" else WIDE
    narrow = TIGHT if kind == "numbers over factors" else NARROW
    test, settings = declared({stronger: narrow, weaker: wide})
    assert recorded.failure(test(OFF), **settings)


def test_a_pattern_reaches_single_sites(recorded: Studio):
    assert recorded.check(body(OFF, watch={"output/y": WIDE})).passed
    assert recorded.failure(body(OFF, watch={"output/z": WIDE, "gradient": WIDE}))


BAD: list[tuple[dict[str, Any], str]] = [
    (
        {"factor": 5, "rtol": 1e-3, "atol": 0.0},
        "assert_close('y'): factor=5 besides rtol or atol; give a factor of the noise floor, or both of rtol and atol",
    ),
    (
        {"factor": 5, "rtol": 1e-3},
        "assert_close('y'): factor=5 besides rtol or atol; give a factor of the noise floor, or both of rtol and atol",
    ),
    ({"factor": 0}, "assert_close('y'): factor=0; it must be above 0, as in factor=10"),
    ({"factor": -1.0}, "assert_close('y'): factor=-1.0; it must be a finite number that is not negative"),
    ({"factor": float("nan")}, "assert_close('y'): factor=nan; it must be a finite number that is not negative"),
    ({"factor": "10"}, "assert_close('y'): factor='10' is not a number"),
    ({"factor": True}, "assert_close('y'): factor=True is not a number"),
]


@pytest.mark.parametrize(("call", "text"), BAD)
def test_a_call_that_makes_no_sense_is_an_error(recorded: Studio, call: dict[str, Any], text: str):
    with pytest.raises(ToleranceError) as caught:
        recorded.check(body(call=call))
    assert str(caught.value) == text


TABLES: list[tuple[dict[str, Any], str]] = [
    (
        {"output": {"factor": 5, "rtol": 1.0}},
        (
            "watch(tolerances=...) 'output': factor=5 besides rtol or atol; "
            "give a factor of the noise floor, or both of rtol and atol"
        ),
    ),
    (
        {"output": {"factors": 5}},
        "watch(tolerances=...) 'output': unknown 'factors'; a tolerance has rtol and atol, or a factor",
    ),
    ({"output": {}}, "watch(tolerances=...) 'output': neither rtol nor atol; give both"),
    ({"output": {"factor": None}}, "watch(tolerances=...) 'output': neither rtol nor atol; give both"),
    ({"output": {"factor": 0.0}}, "watch(tolerances=...) 'output': factor=0.0; it must be above 0, as in factor=10"),
]


@pytest.mark.parametrize(("table", "text"), TABLES)
def test_a_table_that_makes_no_sense_is_an_error(recorded: Studio, table: dict[str, Any], text: str):
    with pytest.raises(ToleranceError) as caught:
        recorded.check(body(watch=table))
    assert str(caught.value) == text


def test_a_call_about_a_captured_kind_judges_it_again(studio: Studio, tmp_path: Path):
    def captured(off: float, **call: Any) -> Callable[[Parity], None]:
        def test(parity: Parity) -> None:
            layer = torch.nn.Linear(4, 3)
            torch.nn.init.constant_(layer.weight, 0.3)
            torch.nn.init.constant_(layer.bias, 0.1)
            layer.register_forward_hook(lambda _m, _a, out: out * (1 + off))
            with parity.watch(layer):
                layer(parity.input("x", lambda: torch.randn(5, 4)))
                parity.assert_activations(**call)

        return test

    studio.record(captured(0.0), draws=3)
    assert studio.check(captured(OFF, factor=1e5)).passed
    assert "activation/(model)#0" in str(studio.failure(captured(OFF)))
    assert "activation/(model)#0" in str(studio.failure(captured(2**-22, factor=1e-3)))
