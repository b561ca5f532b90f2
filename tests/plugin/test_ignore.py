"""``ignore`` and ``coverage``: the marker, the ini file, and what the summary says of them."""

from __future__ import annotations

import pytest

from .project import Run

MODEL = """
    import os
    import pytest
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self, extra):
            super().__init__()
            torch.manual_seed(0)
            self.lin, self.act = nn.Linear(3, 3), nn.Tanh()
            if extra:
                self.same = nn.Identity()

        def forward(self, x):
            x = self.act(self.lin(x))
            return self.same(x) if hasattr(self, "same") else x

    {marker}
    def test_net(parity):
        model = Net("CANDIDATE" not in os.environ)
        with parity.watch(model):
            model(parity.input("x", lambda: torch.ones(2, 3))).sum().backward()

    def test_value(parity):
        parity.assert_close("x", torch.ones(3) * float(os.environ.get("SCALE", "1")))
"""


def project(pytester: pytest.Pytester, marker: str = "") -> None:
    pytester.makepyfile(test_m=MODEL.replace("{marker}", marker))


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CANDIDATE", raising=False)


def test_the_summary_counts_what_was_compared(run: Run, pytester: pytest.Pytester):
    project(pytester)
    assert run("--parity-record").ret == 0
    result = run()
    assert result.ret == 0
    lines = result.stdout.lines
    place = lines.index("test_m/test_net: 12 of 12 sites compared in step 0: 12 equal")
    assert lines[place + 1] == "  parameters 2 of 2, module calls 4 of 4, elements 72 of 72"
    place = lines.index("test_m/test_value: 1 of 1 site compared in step 0: 1 equal")
    assert lines[place + 1] == "  elements 3 of 3"


@pytest.mark.parametrize(
    "marker",
    ["@pytest.mark.parity(ignore=['same'])", "@pytest.mark.parity(coverage=0.7)"],
)
def test_the_marker_excepts_by_name_or_by_share(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, marker: str
):
    project(pytester, marker)
    assert pytester.runpytest("--parity-record").ret == 0
    monkeypatch.setenv("CANDIDATE", "1")
    result = pytester.runpytest()
    assert result.ret == 0
    result.stdout.fnmatch_lines(["test_m/test_net: 10 of 12 sites compared in step 0: 10 equal, 2 *"])


def test_without_either_it_fails(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    project(pytester)
    assert pytester.runpytest("--parity-record").ret == 0
    monkeypatch.setenv("CANDIDATE", "1")
    result = pytester.runpytest()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*same is never called*"])


def test_the_ini_file_excepts_in_every_test(run: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    project(pytester)
    pytester.makeini("[pytest]\nparity_ignore =\n    same\n    output/x")
    assert pytester.runpytest("--parity-record").ret == 0
    monkeypatch.setenv("CANDIDATE", "1")
    result = run("-k", "net")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*ignored by the test: 'same' 2 sites*"])


def test_the_ini_files_share(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    project(pytester)
    pytester.makeini("[pytest]\nparity_coverage = 0.7")
    assert pytester.runpytest("--parity-record").ret == 0
    monkeypatch.setenv("CANDIDATE", "1")
    assert pytester.runpytest().ret == 0


def test_a_pattern_of_the_ini_file_that_no_case_has_fails_the_whole_run(run: Run, pytester: pytest.Pytester):
    project(pytester)
    assert pytester.runpytest("--parity-record").ret == 0
    pytester.makeini("[pytest]\nparity_ignore =\n    act\n    nothing")
    assert run("-k", "net").ret == 0
    result = run()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["ini option parity_ignore: 'nothing' matches no site of any case; remove it"])
    result.stdout.no_fnmatch_line("*parity_ignore: 'act'*")


def test_a_pattern_of_the_marker_that_matches_nothing_fails_its_test(pytester: pytest.Pytester):
    project(pytester, "@pytest.mark.parity(ignore=['activation/lim'])")
    assert pytester.runpytest("--parity-record").ret == 0
    result = pytester.runpytest()
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["*ignore='activation/lim' matches no site that is compared; did you mean 'activation/lin'?*"]
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("ignore='act'", "*@pytest.mark.parity: ignore='act'; it is a list of sites, kinds or paths*"),
        ("ignore=[]", "*ignore=[[][]]; it is a list*"),
        ("coverage=2", "*@pytest.mark.parity: coverage=2; it is the share of the reference's module calls*"),
        ("coverage='all'", "*coverage='all'*from 0 to 1, as in coverage=0.95*"),
    ],
)
def test_a_wrong_marker_is_an_error_of_collection(pytester: pytest.Pytester, arguments: str, message: str):
    project(pytester, f"@pytest.mark.parity({arguments})")
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines([message])


@pytest.mark.parametrize("value", ["2", "most", "nan"])
def test_a_wrong_share_in_the_ini_file_is_a_usage_error(pytester: pytest.Pytester, value: str):
    pytester.makeini(f"[pytest]\nparity_coverage = {value}")
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*ini option parity_coverage: coverage=*from 0 to 1*"])
