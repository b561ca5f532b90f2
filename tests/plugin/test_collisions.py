from __future__ import annotations

import pytest

from .project import Run

# pytest-xdist goes on with the other modules, and fails at the end.
NOT_COLLECTED = (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.TESTS_FAILED)


def errors(result: pytest.RunResult) -> int:
    return sum(line.startswith("ERROR ") for line in result.outlines)


def test_two_tests_on_one_case(run: Run, pytester: pytest.Pytester):
    pytester.makepyfile(
        test_a="import pytest\n@pytest.mark.parity('nest/tiny')\ndef test_a(parity): pass",
        test_b="import pytest\n@pytest.mark.parity('nest/tiny')\ndef test_b(parity): pass",
    )
    result = run("--parity-record")
    assert result.ret in NOT_COLLECTED
    result.stdout.fnmatch_lines(
        [
            "*ERROR collecting test_b.py*",
            "test_a.py::test_a and test_b.py::test_b have one case, 'nest/tiny'*Name another*",
        ]
    )
    assert errors(result) == 1
    assert not list(pytester.path.rglob("golden.json"))


def test_a_parametrized_test_on_one_case(run: Run, pytester: pytest.Pytester):
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parity("nest/tiny")
        @pytest.mark.parametrize("size", range(9))
        def test_size(parity, size): pass
        """
    )
    result = run()
    assert result.ret in NOT_COLLECTED
    result.stdout.fnmatch_lines(["*::test_size[[]0[]] and *::test_size[[]1[]], * and 5 more have one case*"])
    result.stdout.fnmatch_lines(["*Put the parameter into the case: pytest.param(*parity('nest/tiny-a'))*"])


def test_each_parameter_may_have_its_own_case(pytester: pytest.Pytester):
    pytester.makepyfile(
        """
        import pytest
        import torch

        @pytest.mark.parametrize("size", [
            pytest.param(1, marks=pytest.mark.parity("size-1")), pytest.param(2, marks=pytest.mark.parity("size-2")),
        ])
        def test_size(parity, size):
            parity.assert_close("x", torch.ones(size))
        """
    )
    assert pytester.runpytest("--parity-record").ret == 0


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_a_case_inside_another(run: Run, pytester: pytest.Pytester, order: str):
    cases = dict(zip(order, ("nest", "nest/tiny"), strict=True))
    pytester.makepyfile(
        test_a=f"import pytest\n@pytest.mark.parity({cases['a']!r})\ndef test_a(parity): pass",
        test_b=f"import pytest\n@pytest.mark.parity({cases['b']!r})\ndef test_b(parity): pass",
    )
    result = run()
    assert result.ret in NOT_COLLECTED
    outer, inner = order
    result.stdout.fnmatch_lines(
        [f"test_{outer}.py::test_{outer} has the case 'nest' and test_{inner}.py::test_{inner} has 'nest/tiny'*inside*"]
    )
    assert errors(result) == 1


def test_cases_side_by_side_are_fine(pytester: pytest.Pytester):
    pytester.makepyfile(
        """
        import pytest
        import torch

        @pytest.mark.parity("nest/tiny")
        def test_a(parity): parity.assert_close("x", torch.ones(1))

        @pytest.mark.parity("nest/tiny-2")
        def test_b(parity): parity.assert_close("x", torch.ones(1))
        """
    )
    assert pytester.runpytest("--parity-record").ret == 0


def test_one_test_named_twice_on_the_command_line_is_one(pytester: pytest.Pytester):
    pytester.makepyfile(test_a="import torch\ndef test_a(parity): parity.assert_close('x', torch.ones(1))")
    assert pytester.runpytest("--parity-record", "test_a.py::test_a", "test_a.py").ret == 0


def test_a_fixture_asked_for_by_name_claims_its_case_too(pytester: pytest.Pytester):
    pytester.makepyfile(
        """
        import pytest
        import torch

        @pytest.mark.parity("one")
        def test_a(request): request.getfixturevalue("parity").assert_close("x", torch.ones(1))

        @pytest.mark.parity("one")
        def test_b(request): request.getfixturevalue("parity").assert_close("x", torch.ones(1))
        """
    )
    result = pytester.runpytest("--parity-record")
    result.stdout.fnmatch_lines(["*::test_a and *::test_b have one case, 'one'*"])
    assert result.ret == 1
