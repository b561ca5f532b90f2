from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from .project import Run

STALE = "stale golden: no test has the case 'old/case'; give it one, or remove *old/case"


@pytest.fixture
def stale(recorded: Path) -> Path:
    golden = recorded.parent / "golden"
    shutil.copytree(golden / "test_one/test_value", golden / "old/case")
    return recorded


def test_a_golden_without_a_test_fails_the_run(run: Run, stale: Path):
    result = run("--parity-strict")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*= parity =*", STALE])
    assert "test_one/test_value'" not in result.stdout.str()


def test_not_without_strict(stale: Path, pytester: pytest.Pytester):
    result = pytester.runpytest()
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*stale*")


def test_a_run_of_all_that_is_used_passes(recorded: Path, pytester: pytest.Pytester):
    assert pytester.runpytest("--parity-strict").ret == 0


def test_deselected_is_not_stale(run: Run, recorded: Path, pytester: pytest.Pytester):
    pytester.makepyfile(test_two="def test_plain(): pass")
    assert run("--parity-strict", "-k", "plain").ret == 0
    assert run("--parity-strict", "-m", "not parity").ret == 0


def test_a_run_of_some_paths_tells_nothing(stale: Path, pytester: pytest.Pytester):
    pytester.makepyfile(test_two="def test_plain(): pass")
    assert pytester.runpytest("--parity-strict", "test_two.py").ret == 0
    assert pytester.runpytest("--parity-strict", "--ignore=test_one.py").ret == 0


def test_a_run_of_all_paths_is_a_full_run(pytester: pytest.Pytester, stale: Path):
    assert pytester.runpytest("--parity-strict", ".").ret == 1


def test_a_module_skipped_as_a_whole_may_own_it(run: Run, stale: Path, pytester: pytest.Pytester):
    pytester.makepyfile(test_two="import pytest\npytest.importorskip('nemo_that_is_absent')")
    assert run("--parity-strict").ret == 0


@pytest.fixture
def drift(recorded: Path, pytester: pytest.Pytester) -> Iterator[str]:
    """The golden was recorded with another number of threads."""
    threads = torch.get_num_threads()
    pytester.makeconftest(f"import torch\ntorch.set_num_threads({threads + 1})")
    yield f"environment drift: test_one/test_value: threads {threads + 1} (golden: {threads}); *"
    torch.set_num_threads(threads)


def test_another_environment_fails_the_run(run: Run, drift: str):
    result = run("--parity-strict")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*= parity =*", drift])


def test_another_environment_is_fine_without_strict(drift: str, pytester: pytest.Pytester):
    assert pytester.runpytest().ret == 0


SET_OTHERWISE = """
    import os
    import torch

    EPS, LR = float(os.environ.get("EPS", "1e-5")), float(os.environ.get("LR", "0.5"))

    def test_norm(parity):
        torch.manual_seed(0)
        model = parity.load(torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout(0.0)))
        model[1].eps = EPS
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=LR)
        x = parity.input("x", lambda: torch.randn(2, 4))
        with parity.watch(model, optimizer=optimizer, kinds=["weight", "activation", "gradient"]):
            model(x).sum().backward()
            optimizer.step()
"""


def test_constants_and_optimizer_settings_are_drift_too(
    run: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
):
    pytester.makepyfile(test_one=SET_OTHERWISE)
    assert pytester.runpytest("--parity-record").ret == 0
    monkeypatch.setenv("EPS", "0.1")
    monkeypatch.setenv("LR", "0.25")
    result = run("--parity-strict")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["environment drift: test_one/test_norm: eps of 1 0.1 (golden: 1e-05), momentum of SGD 0.25 (golden: 0.5); *"]
    )
    assert pytester.runpytest().ret == 0


def test_the_same_settings_are_none(pytester: pytest.Pytester):
    pytester.makepyfile(test_one=SET_OTHERWISE)
    pytester.runpytest("--parity-record")
    result = pytester.runpytest("--parity-strict")
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*drift*")
