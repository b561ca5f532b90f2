from __future__ import annotations

import pytest

from .project import Run, manifest


def test_case_names_the_tests_without_one(run: Run, one_test: object, pytester: pytest.Pytester):
    pytester.makeconftest(
        """
        def pytest_parity_case(item):
            return f"nightly/{item.name}" if item.name == "test_value" else None
        """
    )
    pytester.makepyfile(test_two="import torch\ndef test_other(parity): parity.assert_close('x', torch.ones(1))")
    run("--parity-record")
    assert (pytester.path / "golden/nightly/test_value/golden.json").is_file()
    assert (pytester.path / "golden/test_two/test_other/golden.json").is_file()


def test_case_leaves_the_markers(pytester: pytest.Pytester):
    pytester.makeconftest("def pytest_parity_case(item): return 'from/hook'")
    pytester.makepyfile(
        """
        import pytest, torch
        @pytest.mark.parity("from/marker")
        def test_a(parity): parity.assert_close("x", torch.ones(1))
        """
    )
    pytester.runpytest("--parity-record")
    assert (pytester.path / "golden/from/marker/golden.json").is_file()


def test_case_that_is_no_name(pytester: pytest.Pytester):
    pytester.makeconftest("def pytest_parity_case(item): return 3")
    pytester.makepyfile("def test_a(parity): pass")
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*::test_a: the hook pytest_parity_case returned 3; return the case's name*"])


def test_provenance_is_in_the_golden(run: Run, one_test: object, pytester: pytest.Pytester):
    pytester.makeconftest("def pytest_parity_provenance(config): return {'nemo': '3.0.0', 'data': ['dummy_ssl']}")
    run("--parity-record")
    provenance = manifest(pytester.path / "golden/test_one/test_value")["provenance"]
    assert provenance["nemo"] == "3.0.0"
    assert provenance["data"] == ["dummy_ssl"]


def test_provenance_registered_last_wins(one_test: object, pytester: pytest.Pytester):
    pytester.makeconftest("def pytest_parity_provenance(config): return {'nemo': '3.0.0', 'by': 'conftest'}")
    pytester.makepyfile(early="def pytest_parity_provenance(config): return {'nemo': '2.0.0', 'data': 'x'}")
    pytester.syspathinsert()
    pytester.runpytest("--parity-record", "-p", "early")
    provenance = manifest(pytester.path / "golden/test_one/test_value")["provenance"]
    assert (provenance["nemo"], provenance["by"], provenance["data"]) == ("3.0.0", "conftest", "x")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("3", "*return a table*"),
        ("{'a': object()}", "*a golden's manifest cannot hold it*"),
        ("{'environment': {}}", "*'environment'*rename it*"),
    ],
)
def test_provenance_that_cannot_be_kept(one_test: object, pytester: pytest.Pytester, answer: str, message: str):
    pytester.makeconftest(f"def pytest_parity_provenance(config): return {answer}")
    result = pytester.runpytest("--parity-record")
    result.stdout.fnmatch_lines([message])
    assert result.ret == 1


COMPARED = """
    from pathlib import Path

    def pytest_parity_compared(item, comparison):
        Path(item.config.rootpath, "seen").write_text(f"{item.name} {comparison.case} {comparison.passed}")
"""


def test_compared_sees_a_check_that_passed(run: Run, recorded: object, pytester: pytest.Pytester):
    pytester.makeconftest(COMPARED)
    run()
    assert (pytester.path / "seen").read_text() == "test_value test_one/test_value True"


def test_compared_sees_a_check_that_failed(
    run: Run, recorded: object, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
):
    pytester.makeconftest(COMPARED)
    monkeypatch.setenv("SCALE", "2")
    run()
    assert (pytester.path / "seen").read_text() == "test_value test_one/test_value False"


def test_compared_sees_no_recording(one_test: object, pytester: pytest.Pytester):
    pytester.makeconftest(COMPARED)
    pytester.runpytest("--parity-record")
    assert not (pytester.path / "seen").exists()


def test_compared_may_fail_the_test(recorded: object, pytester: pytest.Pytester):
    pytester.makeconftest("def pytest_parity_compared(item, comparison): assert comparison.elements > 10**9, 'too few'")
    result = pytester.runpytest()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*too few*"])


def test_report_adds_lines(run: Run, recorded: object, pytester: pytest.Pytester):
    pytester.makeconftest(
        """
        def pytest_parity_report(config, results):
            return [f"{r.case} {r.outcome} by {r.nodeid}, {r.comparison.compared} compared" for r in results]
        """
    )
    result = run()
    expected = "test_one/test_value passed by test_one.py::test_value, 1 compared"
    result.stdout.fnmatch_lines(["*= parity =*", expected])


def test_report_may_be_one_line(pytester: pytest.Pytester, recorded: object):
    pytester.makeconftest("def pytest_parity_report(results): return f'{len(results)} in all'")
    pytester.runpytest().stdout.fnmatch_lines(["1 in all"])
