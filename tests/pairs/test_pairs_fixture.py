"""``parity.assert_equivalent``, in a test: recording or checking, it needs no golden and leaves none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch._dynamo  # noqa: F401  torch, with what it imports late, cannot come twice into one process

import pytest_parity.session  # noqa: F401

pytest_plugins = ["pytester"]

MODELS = """
    import torch
    from torch import nn

    class Scaled(nn.Linear):
        def forward(self, x):
            return super().forward(x) * SCALE

    def test_pair(parity):
        parity.assert_equivalent(nn.Linear(3, 2), Scaled(3, 2), torch.ones(4, 3))
"""
SAME, OTHER = MODELS.replace("SCALE", "1.0"), MODELS.replace("SCALE", "1.01")
BOTH = """
        parity.assert_close("x", torch.ones(2))
"""


@pytest.fixture(autouse=True)
def _plain(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "BUILD_NUMBER", "PARITY_REF"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest -p no:hydra_pytest")


def files(pytester: pytest.Pytester) -> set[str]:
    return {path.name for path in Path(pytester.path).iterdir()} - {"test_it.py", "__pycache__", ".pytest_cache"}


@pytest.mark.parametrize("options", [(), ("--parity-record",)], ids=["check", "record"])
def test_a_pair_that_agrees(pytester: pytest.Pytester, options: tuple[str, ...]):
    pytester.makepyfile(test_it=SAME)
    result = pytester.runpytest(*options)
    assert result.ret == 0
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["test_it/test_pair: * of * sites compared*equal*"])
    assert files(pytester) == set()


@pytest.mark.parametrize("options", [(), ("--parity-record",)], ids=["check", "record"])
def test_a_pair_that_does_not(pytester: pytest.Pytester, options: tuple[str, ...]):
    pytester.makepyfile(test_it=OTHER)
    result = pytester.runpytest(*options)
    assert result.ret == 1
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["Scaled against Linear step 0: (model) is the first module whose output differs while its inputs agree"]
    )
    assert files(pytester) == set()


def test_the_summary_of_a_pair_that_differs_begins_with_the_test(pytester: pytest.Pytester):
    pytester.makepyfile(test_it=OTHER + BOTH.replace('"x"', '"before"'))
    result = pytester.runpytest()
    result.stdout.fnmatch_lines(["test_it/test_pair: FAILED: 11 of 11 sites compared*; first: (model) is the first *"])


def test_a_strategy_in_a_test_shows_the_smallest_input(pytester: pytest.Pytester):
    pytester.makepyfile(
        test_it=MODELS.replace("SCALE", "(1.01 if x.shape[0] > 2 else 1.0)").replace(
            "torch.ones(4, 3))", 'tensors((size("batch"), 3)))'
        )
        + """
    from pytest_parity.strategies import size, tensors
"""
    )
    result = pytester.runpytest()
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "Scaled against Linear step 0: (model) is the first module whose output differs while its inputs agree",
            "the smallest input found on which the two disagree (of * tried):",
            "  input: float32 (3, 3) [[]0, 0, 0, 0, 0, 0, 0, 0, ...]",
            "test_it/test_pair: FAILED: *",
        ]
    )


def test_a_pair_beside_a_golden_is_counted_with_it(pytester: pytest.Pytester):
    pytester.makepyfile(test_it=SAME + BOTH)
    recorded = pytester.runpytest("--parity-record")
    recorded.stdout.fnmatch_lines(["test_it/test_pair: recorded 1 site*"])
    checked = pytester.runpytest()
    assert checked.ret == 0
    checked.stdout.fnmatch_lines(["test_it/test_pair: 12 of 12 sites compared in step 0: 12 equal*"])


def test_a_pair_that_differs_beside_a_golden_keeps_it_from_being_written(pytester: pytest.Pytester):
    pytester.makepyfile(test_it=OTHER + BOTH)
    assert pytester.runpytest("--parity-record").ret == 1
    assert files(pytester) == set()


def test_the_tests_tolerances_stand_behind_the_pairs(pytester: pytest.Pytester):
    pytester.makepyfile(test_it=OTHER)
    pytester.makeconftest(
        """
        import pytest

        @pytest.fixture
        def parity_tolerances():
            return {"*": (0.1, 0.1)}
        """
    )
    assert pytester.runpytest().ret == 0


def test_every_pair_of_a_collection_is_seen(pytester: pytest.Pytester):
    pytester.makepyfile(
        test_it=MODELS.replace("SCALE", "1.01").replace(
            "        parity.assert_equivalent(nn.Linear(3, 2), Scaled(3, 2), torch.ones(4, 3))\n",
            """
        with parity.collect():
            parity.assert_equivalent(nn.Linear(3, 2), Scaled(3, 2), torch.ones(4, 3))
            parity.assert_equivalent(nn.Tanh(), nn.Tanh(), torch.ones(4, 3))
            parity.assert_equivalent(nn.Sigmoid(), nn.Hardsigmoid(), torch.randn(4, 3))
""",
        )
    )
    result = pytester.runpytest()
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["Scaled against Linear step 0: (model) is the first*", "Hardsigmoid against Sigmoid step 0: (model) is the*"]
    )


def test_what_is_recorded_is_as_without_the_pair(pytester: pytest.Pytester):
    pytester.makepyfile(test_it=SAME + BOTH)
    assert pytester.runpytest("--parity-record").ret == 0
    before = (Path(pytester.path) / "golden/test_it/test_pair/golden.json").read_text()
    pytester.makepyfile(
        test_it="""
        import torch

        def test_pair(parity):
            parity.assert_close("x", torch.ones(2))
        """
    )
    assert pytester.runpytest("--parity-record", "--parity-ref", "other").ret == 0
    assert before == (Path(pytester.path) / "other/test_it/test_pair/golden.json").read_text()
