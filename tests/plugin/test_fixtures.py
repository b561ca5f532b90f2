from __future__ import annotations

import pytest

from .project import Run

TEST = """
    def test_value(parity):
        settings = parity.settings
        print("seed", settings.seed, "names", settings.names, "tolerances", dict(settings.tolerances))
        raise RuntimeError("seen")
"""


def test_each_directory_has_its_own(run: Run, pytester: pytest.Pytester):
    pytester.makepyprojecttoml("[tool.pytest_parity.tolerances]\nloss = {rtol = 1, atol = 2}")
    for name, seed in (("one", 1), ("two", 2)):
        directory = pytester.mkdir(name)
        (directory / f"test_{name}.py").write_text(TEST.replace("\n    ", "\n"))
        (directory / "conftest.py").write_text(
            "import pytest\n"
            f"@pytest.fixture\ndef parity_seed(): return {seed}\n"
            f"@pytest.fixture\ndef parity_names(): return {{'{name}': 'x'}}\n"
            "@pytest.fixture\ndef parity_tolerances(parity_tolerances):\n"
            f"    return {{**parity_tolerances, 'output': ({seed}, 0)}}\n"
        )
    result = run()
    for name, seed in (("one", 1), ("two", 2)):
        result.stdout.fnmatch_lines([f"seed {seed} names {{'{name}': 'x'}} tolerances *loss*'output': ({seed}, 0)*"])


@pytest.mark.parametrize(
    ("fixture", "value", "message"),
    [
        ("parity_tolerances", "3", "*the fixture parity_tolerances is 3, not a table*"),
        ("parity_tolerances", "{'output': (1,)}", "*the fixture parity_tolerances 'output': (1,) is not a pair*"),
        ("parity_seed", "'x'", "*the fixture parity_seed returned 'x'; return a whole number*"),
    ],
)
def test_a_wrong_value_says_which_fixture(pytester: pytest.Pytester, fixture: str, value: str, message: str):
    pytester.makeconftest(f"import pytest\n@pytest.fixture\ndef {fixture}(): return {value}")
    pytester.makepyfile("def test_value(parity): pass")
    result = pytester.runpytest()
    assert result.ret == 1
    result.stdout.fnmatch_lines([message])


def test_the_fixtures_are_documented(pytester: pytest.Pytester):
    pytester.runpytest("--fixtures").stdout.fnmatch_lines(["*parity_tolerances*", "*parity_seed*"])
