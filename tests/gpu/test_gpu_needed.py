"""``tox -e gpu`` cannot pass without having tested a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

PASSES = """
    import pytest

    @pytest.mark.gpu
    def test_gpu(): pass
"""
SKIPS = """
    import pytest

    @pytest.mark.gpu
    def test_gpu(): pytest.skip("no such kernel")
"""
MODULE = """
    import pytest

    cupy = pytest.importorskip("no_such_package")

    @pytest.mark.gpu
    def test_gpu(): pass
"""
OTHER = """
    import pytest

    def test_cpu(): pytest.skip("on the CPU")
"""


@pytest.fixture(autouse=True)
def project(pytester: pytest.Pytester, pytestconfig: pytest.Config) -> None:
    pytester.makeconftest((pytestconfig.rootpath / "conftest.py").read_text(encoding="utf-8"))
    pytester.makeini("[pytest]\nmarkers = gpu: needs a CUDA device\n")


@pytest.fixture
def needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARITY_NEED_GPU", "1")


def test_a_gpu_test_that_runs_passes(pytester: pytest.Pytester, needed: None):
    pytester.makepyfile(PASSES)
    assert pytester.runpytest("-m", "gpu").ret == pytest.ExitCode.OK


@pytest.mark.parametrize(("source", "reason"), [(SKIPS, "no such kernel"), (MODULE, "no_such_package")])
def test_one_that_is_skipped_fails_the_run(pytester: pytest.Pytester, needed: None, source: str, reason: str):
    pytester.makepyfile(source)
    result = pytester.runpytest("-m", "gpu")
    assert result.ret not in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}
    result.stdout.fnmatch_lines([f"*PARITY_NEED_GPU is set, and this was skipped: *{reason}*"])


def test_none_at_all_fails_the_run(pytester: pytest.Pytester, needed: None):
    pytester.makepyfile(OTHER)
    assert pytester.runpytest("-m", "gpu").ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_elsewhere_a_skip_is_a_skip(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("PARITY_NEED_GPU", raising=False)
    pytester.makepyfile(SKIPS)
    pytester.runpytest("-m", "gpu").assert_outcomes(skipped=1)


def test_other_tests_may_be_skipped(pytester: pytest.Pytester, needed: None):
    pytester.makepyfile(OTHER)
    pytester.runpytest().assert_outcomes(skipped=1)


def test_tox_needs_a_gpu_and_selects_its_tests(pytestconfig: pytest.Config):
    settings = Path(pytestconfig.rootpath, "tox.ini").read_text(encoding="utf-8").partition("[testenv:gpu]")[2]
    assert "PARITY_NEED_GPU = 1" in settings
    assert "commands = pytest -m gpu" in settings
