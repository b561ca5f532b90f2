from __future__ import annotations

import pytest

from pytest_parity.plugin.cases import default_case

from .project import Run

THREE = """
    import pytest
    import torch

    @pytest.mark.parity("nest/tiny")
    def test_tiny(parity):
        parity.assert_close("x", torch.ones(1))

    @pytest.mark.parity("nest/full")
    def test_full(parity):
        parity.assert_close("x", torch.ones(1))

    @pytest.mark.parametrize("size", ["small", "large"])
    def test_size(parity, size):
        parity.assert_close("x", torch.ones(1))

    def test_plain():
        pass
"""


@pytest.fixture(autouse=True)
def three(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_three=THREE)


def recorded_cases(pytester: pytest.Pytester) -> set[str]:
    root = pytester.path / "golden"
    return {path.parent.relative_to(root).as_posix() for path in root.rglob("golden.json")}


def test_a_glob_selects_cases_and_deselects_all_else(run: Run, pytester: pytest.Pytester):
    result = run("--parity-record", "--parity-case", "nest/*")
    assert result.ret == 0
    assert recorded_cases(pytester) == {"nest/tiny", "nest/full"}


def test_the_others_are_counted_as_deselected(pytester: pytest.Pytester):
    result = pytester.runpytest("--parity-record", "--parity-case", "nest/tiny")
    result.stdout.re_match_lines([r"=+ 4 deselected, 1 recorded in .*"])


def test_it_may_be_given_twice(pytester: pytest.Pytester):
    pytester.runpytest("--parity-record", "--parity-case", "nest/t*", "--parity-case", "*large*")
    assert recorded_cases(pytester) == {"nest/tiny", "test_three/test_size[large]"}


def test_a_name_with_brackets_matches_itself(pytester: pytest.Pytester):
    pytester.runpytest("--parity-record", "--parity-case", "test_three/test_size[small]")
    assert recorded_cases(pytester) == {"test_three/test_size[small]"}


def test_nothing_selected_is_no_success(pytester: pytest.Pytester):
    result = pytester.runpytest("--parity-case", "nest/tinny")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    result.stdout.fnmatch_lines(
        ["--parity-case nest/tinny means no case; did you mean 'nest/tiny'?; there are: nest/full, *"]
    )


def test_one_of_two_globs_that_means_nothing_fails_the_run(run: Run):
    result = run("--parity-record", "--parity-case", "nest/tiny", "--parity-case", "nest/ful")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["--parity-case nest/ful means no case; did you mean 'nest/full'?*"])


def test_the_marker_selects_every_test_that_uses_the_fixture(run: Run, pytester: pytest.Pytester):
    run("--parity-record", "-m", "parity").stdout.re_match_lines([r"=+ (4 recorded|.*, 4 recorded).*"])


@pytest.mark.parametrize(
    ("nodeid", "case"),
    [
        ("tests/test_x.py::test_b", "tests/test_x/test_b"),
        ("tests/test_x.py::TestA::test_b[p1-p2]", "tests/test_x/TestA.test_b[p1-p2]"),
        ("test_x.py::test_b[a/b]", "test_x/test_b[a%2Fb]"),
        ("test_x.py::test_b[a::b]", "test_x/test_b[a%3A%3Ab]"),
        ("test_x.py::test_b[a b*?]", "test_x/test_b[a%20b%2A%3F]"),
        ("test_x.py::test_b[100%]", "test_x/test_b[100%25]"),
        ("test_x.py::test_b[\\xe9]", "test_x/test_b[%5Cxe9]"),
        ("../up/.hidden/test_x.py::test_b", "%2E./up/%2Ehidden/test_x/test_b"),
    ],
)
def test_a_case_is_made_of_the_tests_path_and_name(nodeid: str, case: str):
    assert default_case(nodeid) == case


def test_long_parameters_are_cut_and_stay_apart():
    first, second = (default_case(f"test_x.py::test_b[{'p' * 300}{end}]") for end in "12")
    assert first != second
    assert len(first.rpartition("/")[2]) <= 200
