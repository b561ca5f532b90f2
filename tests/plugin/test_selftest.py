"""``--parity-selftest``: faults put into the candidate of each test that passes, and what its check makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from .project import Run, contents

MODEL = """
    import os
    import pytest
    import torch
    from torch import nn

    SLOPPY = {"*": (0.1, 0.1)}
    TIGHT = {"*": (1e-6, 1e-7)}

    def tower():
        return nn.Sequential(nn.Linear(6, 6), nn.LayerNorm(6), nn.Tanh(), nn.Linear(6, 6))

    def step(parity, model, tolerances):
        parity.load(model)
        with parity.watch(model, tolerances=tolerances):
            out = model(parity.input("x", lambda: torch.randn(4, 6)))
            out.square().sum().backward()
        parity.assert_outputs(out)
"""

TIGHT = (
    MODEL
    + """
    def test_step(parity):
        step(parity, tower(), TIGHT)
"""
)

SLOPPY = (
    MODEL
    + """
    def test_step(parity):
        step(parity, tower(), SLOPPY)
"""
)


def project(pytester: pytest.Pytester, source: str, name: str = "test_one") -> Path:
    """A project of one module, with its goldens."""
    path = pytester.makepyfile(**{name: source})
    assert pytester.runpytest("--parity-record", "--parity-noise=0").ret == 0
    return path


def test_a_tight_check_catches_every_fault(run: Run, pytester: pytest.Pytester):
    project(pytester, TIGHT)
    result = run("--parity-selftest")
    assert result.ret == 0
    result.stdout.re_match_lines([r"=+ 1 passed in .*"])
    result.stdout.fnmatch_lines(
        [
            "*= parity =*",
            "test_one/test_step: * sites compared*",
            "test_one/test_step: * faults tried in * runs: * caught, 0 escaped, 0 no effect",
            "*fault *tried *caught *escaped *no effect *caught at",
            "*weight times 1.01 * activation *",
            "*weight times 1.0001 *",
            "*weight rolled *",
            "*weight transposed *",
            "*bias dropped *",
            "*layers swapped *",
            "*eps times 1000 *",
            "*output times 1.01 *",
            "*gradient times 1.01 * gradient *",
            "*output in half precision *",
            "*smallest scale error that is caught:",
            "*kind *sites *at one site *at half *at every site *",
            "*activation *1 + *rtol=1e-06, atol=1e-07 (watch(tolerances=...) '[*]')*activation/*",
            "*gradient *1 + *",
        ]
    )


def test_a_sloppy_check_fails_and_names_what_escapes(run: Run, pytester: pytest.Pytester):
    project(pytester, SLOPPY)
    result = run("--parity-selftest")
    assert result.ret == 1
    result.stdout.re_match_lines(
        [
            r"test_one/test_step: \d+ of \d+ faults escaped: weight times 1\.01 in \d, .*",
            r"=+ parity =+",
            r".* faults tried in \d+ runs: \d+ caught, [1-9]\d* escaped, .*",
            r"  ESCAPED: weight times 1\.0001 in \d \(Linear at depth 1\)",
            r"FAILED test_one\.py::test_step - test_one/test_step: \d+ of \d+ faults escaped: .*",
        ]
    )


def test_without_the_option_the_sloppy_check_passes(run: Run, pytester: pytest.Pytester):
    project(pytester, SLOPPY)
    result = run()
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*faults*")


def test_a_test_that_fails_is_not_tested_further(run: Run, pytester: pytest.Pytester):
    path = project(pytester, TIGHT)
    path.write_text(path.read_text().replace("nn.Tanh()", "nn.Sigmoid()"))
    result = run("--parity-selftest")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*= parity =*", "*FAILED*", "--parity-selftest tried no fault: *"])
    result.stdout.no_fnmatch_line("*faults tried*")


def test_a_test_without_a_watch_is_said_to_have_nothing(run: Run, pytester: pytest.Pytester):
    project(pytester, TIGHT + "\n    def test_value(parity):\n        parity.assert_close('x', torch.arange(3.0))\n")
    result = run("--parity-selftest")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["test_one/test_value: no self-test: no model is watched, so there is nothing *"])


def test_a_run_that_tried_no_fault_fails(run: Run, recorded: Path):
    result = run("--parity-selftest")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["--parity-selftest tried no fault: no parity test that ran watches a model and passes"]
    )


def test_a_test_of_live_models_is_said_to_have_no_golden(pytester: pytest.Pytester):
    project(
        pytester,
        TIGHT
        + """
    def test_live(parity):
        model = tower()
        parity.assert_equivalent(model, model, torch.randn(4, 6), draws=1)
""",
    )
    result = pytester.runpytest("--parity-selftest")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["test_one/test_live: no self-test: it has no golden *"])


def test_a_unittest_is_said_to_be_left_out(pytester: pytest.Pytester):
    project(
        pytester,
        TIGHT
        + """
    import unittest

    class TestOld(unittest.TestCase):
        @pytest.fixture(autouse=True)
        def _parity(self, parity):
            self.parity = parity

        def test_old(self):
            step(self.parity, tower(), TIGHT)
""",
    )
    result = pytester.runpytest("--parity-selftest")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*TestOld.test_old: no self-test: a test of unittest cannot be run again*"])


SHARED = (
    MODEL
    + """
    @pytest.fixture(scope="module")
    def shared():
        torch.manual_seed(0)
        model = tower()
        return model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def test_step(parity, shared):
        model, optimizer = shared
        parity.load(model)
        with parity.watch(model, optimizer=optimizer, tolerances=TIGHT):
            out = model(parity.input("x", lambda: torch.randn(4, 6)))
            out.square().sum().backward()
            optimizer.step()
        if os.environ.get("RAISE") and not parity.recording:
            seen.append(model)
            if len(seen) > 4:
                raise RuntimeError("in the middle")

    seen = []

    def test_what_is_left(shared):
        model, optimizer = shared
        parts = [*model.state_dict().values(), *(parameter.grad for parameter in model.parameters())]
        parts += [one["momentum_buffer"] for one in optimizer.state.values()]
        print("LEFT", [part.double().sum().item().hex() for part in parts], torch.rand(1).item().hex())
        print("HOOKS", sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()))
        print("STATE", [(type(m).__name__, m.training, list(vars(m))) for m in model.modules()])
        print("HELD", all(p is q for p, q in zip(model.parameters(), optimizer.param_groups[0]["params"])))
"""
)


@pytest.mark.parametrize("raises", ["", "1"], ids=["", "raising"])
def test_a_model_that_later_tests_use_is_left_bit_for_bit(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, raises: str
):
    project(pytester, SHARED)
    without = pytester.runpytest("-s", "-p", "no:randomly").outlines
    monkeypatch.setenv("RAISE", raises)
    result = pytester.runpytest("-s", "--parity-selftest", "-p", "no:randomly")
    marks = ("LEFT", "HOOKS", "STATE", "HELD")
    assert [line for line in result.outlines if line.lstrip(".").startswith(marks)] == [
        line for line in without if line.lstrip(".").startswith(marks)
    ]
    assert any("HELD True" in line for line in without)
    result.stdout.fnmatch_lines(["test_one/test_step: * faults tried in * runs: * 0 escaped, *"])


UNCOPIED = (
    SHARED.replace("model = tower()", "model = Single()")
    .replace(", momentum=0.9", "")
    .replace('        parts += [one["momentum_buffer"] for one in optimizer.state.values()]\n', "")
    .replace("        parity.load(model)\n        with", "        parity.load(model)\n        CLEARED\n        with")
    .replace(
        "SLOPPY = {",
        """class Single(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Linear(6, 6), nn.Tanh())

        def __deepcopy__(self, memo):
            raise TypeError("there is one of it")

    SLOPPY = {""",
    )
)


@pytest.mark.parametrize("options", [["--parity-selftest"], ["--parity-record", "--parity-reason", "again"]], ids=str)
def test_a_model_that_cannot_be_copied_is_left_bit_for_bit_too(pytester: pytest.Pytester, options: list[str]):
    project(pytester, UNCOPIED.replace("CLEARED", "optimizer.zero_grad()"))
    plain = ["--parity-record", "--parity-noise=0", "--parity-reason", "again"]
    without = pytester.runpytest("-s", "-p", "no:randomly", *(plain if "--parity-record" in options else []))
    result = pytester.runpytest("-s", "-p", "no:randomly", *options)
    assert result.ret == 0
    left = [line for line in result.outlines if "LEFT" in line]
    assert left == [line for line in without.outlines if "LEFT" in line] != []


def test_what_one_run_leaves_to_the_next_is_said_to_be_in_the_way(pytester: pytest.Pytester):
    project(pytester, UNCOPIED.replace("CLEARED", ""))
    result = pytester.runpytest("--parity-selftest")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "test_one/test_step: no self-test: run again without a fault, the test fails: gradient/0.weight. Something of *"
        ]
    )


def test_fixtures_of_the_test_are_set_up_for_each_run_and_torn_down_as_often(pytester: pytest.Pytester):
    project(
        pytester,
        MODEL
        + """
    def note(sign):
        with open("log", "a") as log:
            log.write(sign)

    @pytest.fixture
    def counted():
        note("+")
        yield
        note("-")

    def test_step(parity, counted):
        step(parity, tower(), TIGHT)
""",
    )
    log = pytester.path / "log"
    log.write_text("")
    assert pytester.runpytest("--parity-selftest").ret == 0
    assert log.read_text().count("+-") > 10
    assert log.read_text() == "+-" * log.read_text().count("+")


def test_a_skip_in_the_middle_of_a_fault_counts_as_the_tests_own_error(pytester: pytest.Pytester):
    project(
        pytester,
        MODEL
        + """
    def test_step(parity):
        model = tower()
        step(parity, model, SLOPPY)
        if model[0].bias.grad is None:
            pytest.skip("no gradient")
""",
    )
    result = pytester.runpytest("--parity-selftest")
    result.stdout.re_match_lines([r"=+ 1 failed in .*"])
    result.stdout.fnmatch_lines(
        [
            "*bias dropped *error 1*",
            "  caught by an error of the test's own: bias dropped in 0: RuntimeError: skipped: no gradient",
        ]
    )


def test_a_test_that_draws_on_its_own_is_refused(run: Run, pytester: pytest.Pytester):
    project(
        pytester,
        MODEL
        + """
    import time

    def test_step(parity):
        base = torch.rand(4, 6)
        torch.manual_seed(time.perf_counter_ns())
        model = parity.load(tower())
        with parity.watch(model, tolerances={"*": (0.5, 0.01)}):
            model(base + 1e-4 * torch.rand(4, 6))
""",
    )
    result = run("--parity-selftest")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["test_one/test_step: no self-test: two runs without a fault differ, first at input/*"])


def test_the_limit_says_what_it_leaves_out(run: Run, pytester: pytest.Pytester):
    project(pytester, TIGHT)
    result = run("--parity-selftest", "-o", "parity_selftest_limit=4")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "test_one/test_step: 4 faults tried in 6 runs: 4 caught, 0 escaped, 0 no effect",
            "  * further faults left out: the ini option parity_selftest_limit allows 4 a test",
        ]
    )


@pytest.mark.parametrize("limit", ["0", "-3", "many"])
def test_a_limit_that_is_none_is_a_usage_error(pytester: pytest.Pytester, limit: str):
    result = pytester.runpytest("--parity-selftest", "-o", f"parity_selftest_limit={limit}")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["ERROR: ini option parity_selftest_limit*"])


@pytest.mark.parametrize("option", ["--parity-record", "--parity-record-missing"])
def test_recording_and_testing_the_check_are_two_runs(pytester: pytest.Pytester, option: str):
    result = pytester.runpytest("--parity-selftest", option)
    assert result.ret == 4
    result.stderr.fnmatch_lines(["ERROR: --parity-selftest puts faults into what is checked, and this run records; *"])


def test_nothing_is_written(run: Run, pytester: pytest.Pytester):
    project(pytester, SLOPPY)
    before = contents(pytester.path / "golden")
    run("--parity-selftest")
    assert contents(pytester.path / "golden") == before
    assert not (pytester.path / ".parity").exists()


def test_collecting_alone_tests_nothing_and_says_nothing(pytester: pytest.Pytester):
    project(pytester, TIGHT)
    assert pytester.runpytest("--parity-selftest", "--collect-only").ret == 0
