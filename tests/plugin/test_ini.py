from __future__ import annotations

import pytest

from pytest_parity.plugin.options import parse_size

from .project import Run, manifest


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("1GiB", 2**30),
        ("512MiB", 2**29),
        ("1.5 GB", 1_500_000_000),
        ("64 k", 64_000),
        ("7B", 7),
    ],
)
def test_a_size_is_in_bytes(text: str, size: int):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("parity_memory = lots", "*parity_memory = 'lots' is no size; write bytes, or as in 512MiB*"),
        ("parity_memory = -1", "*parity_memory = '-1' is no size*"),
        ("parity_seed = one", "*parity_seed*one*"),
        ("parity_rng = keyd", "*parity_rng = 'keyd' is none of: keyed, global, off*"),
    ],
)
def test_a_wrong_value_is_a_usage_error(pytester: pytest.Pytester, line: str, message: str):
    pytester.makeini(f"[pytest]\n{line}")
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])


def test_options_reach_the_fixture(run: Run, pytester: pytest.Pytester):
    pytester.makeini("[pytest]\nparity_memory = 2MiB\nparity_seed = 11\nparity_rng = off\nparity_out = left")
    pytester.makepyfile(
        """
        from pathlib import Path

        def test_settings(parity, pytestconfig):
            settings = parity.settings
            assert (settings.memory, settings.seed, settings.marker.rng) == (2 * 2**20, 11, "off")
            assert settings.out == Path(pytestconfig.rootpath) / "left"
            assert settings.root == Path(pytestconfig.rootpath) / "golden"
        """
    )
    result = run()
    result.stdout.no_fnmatch_line("*AssertionError*")
    result.stdout.no_fnmatch_line("*AttributeError*")


def test_the_command_line_is_before_the_ini_file(pytester: pytest.Pytester):
    pytester.makeini("[pytest]\nparity_out = left")
    pytester.makepyfile("def test_out(parity): assert parity.settings.out.name == 'right'")
    pytester.runpytest("--parity-out", "right").stdout.no_fnmatch_line("*AssertionError*")


def test_native_integers_of_a_new_pytest(pytester: pytest.Pytester):
    pytester.makefile(".toml", pytest="[pytest]\nparity_seed = 11")
    pytester.makepyfile("def test_seed(parity_seed): assert parity_seed == 11")
    if pytest.version_tuple < (9, 0):
        pytest.skip("pytest.toml came with pytest 9")
    assert pytester.runpytest().ret == 0


def test_tolerances_from_pyproject(recorded: object, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SCALE", "1.001")
    assert pytester.runpytest().ret == 1
    pytester.makepyprojecttoml("[tool.pytest_parity.tolerances]\noutput = {rtol = 1e-2, atol = 0}")
    assert pytester.runpytest().ret == 0


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            "[tool.pytest_parity]\ntolerance = 3",
            "*has no key 'tolerance'; did you mean 'tolerances'?*it takes: tolerances*",
        ),
        ("[tool.pytest_parity]\ntolerances = 3", "*tolerances[]] is 3, not a table; write as in: gradient = *"),
        ("[tool.pytest_parity.tolerances]\noutput = {rtol = 1e-2}", "*rtol=0.01 without atol*"),
        ("[tool.pytest_parity.tolerances]\noutput = {rtol = -1, atol = 0}", "*rtol=-1*"),
        ("[tool.pytest_parity.tolerances]\ngradients = {rtol = 1, atol = 0}", "*did you mean 'gradient'?*"),
        ("[tool.pytest_parity\n", "*pyproject.toml*"),
    ],
)
def test_a_wrong_table_is_a_usage_error(pytester: pytest.Pytester, table: str, message: str):
    pytester.makeini("[pytest]")
    pytester.makepyprojecttoml(table)
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])


def test_other_tools_tables_are_not_looked_at(pytester: pytest.Pytester):
    pytester.makepyprojecttoml("[tool.other]\nkey = 1")
    assert pytester.runpytest().ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_the_seed_is_in_the_golden(one_test: object, pytester: pytest.Pytester):
    pytester.makeini("[pytest]\nparity_seed = 11")
    pytester.runpytest("--parity-record")
    assert manifest(pytester.path / "golden/test_one/test_value")["settings"]["seed"] == 11
