from __future__ import annotations

from pathlib import Path

import pytest

from .project import Run

MANY = """
    import unittest
    import pytest
    import torch

    def test_skipped(parity):
        parity.assert_close("x", torch.ones(1))
        pytest.skip("not here")

    def test_expected(parity):
        parity.assert_close("x", torch.ones(1))
        pytest.xfail("known")

    @pytest.mark.skip
    def test_never(parity):
        raise AssertionError

    @pytest.fixture
    def broken(parity):
        raise RuntimeError("set-up")

    def test_set_up(parity, broken):
        parity.assert_close("x", torch.ones(1))

    class TestCase(unittest.TestCase):
        @pytest.fixture(autouse=True)
        def _take(self, parity):
            self.parity = parity

        def test_wrong(self):
            self.parity.assert_close("x", torch.ones(1))
            self.fail("after the value")

        def test_right(self):
            self.parity.assert_close("x", torch.ones(1))
"""


def test_only_a_body_that_passed_is_recorded(run: Run, pytester: pytest.Pytester):
    pytester.makepyfile(test_many=MANY)
    result = run("--parity-record")
    outcomes = result.parseoutcomes()
    assert {name: outcomes[name] for name in ("failed", "skipped", "xfailed", "errors", "recorded")} == {
        "failed": 1,
        "skipped": 2,
        "xfailed": 1,
        "errors": 1,
        "recorded": 1,
    }
    golden = pytester.path / "golden"
    assert [path.parent.name for path in golden.rglob("golden.json")] == ["TestCase.test_right"]


def test_nothing_is_left_of_the_others(pytester: pytest.Pytester):
    pytester.makepyfile(test_many=MANY)
    pytester.runpytest("--parity-record", "--deselect", "test_many.py::TestCase::test_right")
    assert not [path for path in (pytester.path / "golden").rglob("*") if path.is_file()]


def test_a_known_difference_is_an_expected_failure(
    recorded: object, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SCALE", "2")
    source = (pytester.path / "test_one.py").read_text()
    expected = source.replace("def test_value", "import pytest\n@pytest.mark.xfail(strict=True)\ndef test_value")
    (pytester.path / "test_one.py").write_text(expected)
    result = pytester.runpytest()
    assert result.ret == 0
    assert result.parseoutcomes()["xfailed"] == 1


def test_a_failure_that_was_expected_and_did_not_come_is_no_recording(run: Run, pytester: pytest.Pytester):
    pytester.makepyfile(
        """
        import pytest
        import torch

        @pytest.mark.xfail(strict=True)
        def test_value(parity):
            parity.assert_close("x", torch.ones(1))
        """
    )
    result = run("--parity-record")
    assert result.ret == 1
    assert result.parseoutcomes() == {"failed": 1}


BREAKING = """
    import pytest
    from pytest_parity.session.parity import Parity

    @pytest.fixture(autouse=True)
    def _broken(monkeypatch):
        def broken(self):
            raise OSError("of our own")
        monkeypatch.setattr(Parity, "{name}", broken)
"""


@pytest.mark.parametrize(
    ("name", "mention"),
    [
        ("comparison", "what was compared before the test failed cannot be told: OSError: of our own"),
        ("abandon", "what the test held could not be put away: OSError: of our own"),
    ],
)
def test_what_goes_wrong_after_a_failure_does_not_take_its_place(
    recorded: Path, pytester: pytest.Pytester, name: str, mention: str
):
    pytester.makeconftest(BREAKING.format(name=name))
    recorded.write_text(recorded.read_text() + "\n    assert False, 'after the value'\n")
    result = pytester.runpytest()
    result.stdout.fnmatch_lines(["E *AssertionError: after the value", "*Captured parity call*", mention])
    assert result.parseoutcomes() == {"failed": 1}


def test_the_generators_are_given_back_also_where_a_check_cannot_be_abandoned(
    recorded: Path, pytester: pytest.Pytester
):
    pytester.makeconftest(BREAKING.format(name="abandon"))
    recorded.write_text(
        recorded.read_text()
        + """
    assert False

BEFORE = torch.get_rng_state()

def test_after():
    assert torch.equal(torch.get_rng_state(), BEFORE)
"""
    )
    assert pytester.runpytest().parseoutcomes() == {"failed": 1, "passed": 1}


def test_a_failure_that_the_test_expects_itself(recorded: object, pytester: pytest.Pytester):
    pytester.makepyfile(
        test_one="""
        import pytest
        import torch
        from pytest_parity.errors import ParityFailure

        def test_value(parity):
            with pytest.raises(ParityFailure):
                parity.assert_close("x", torch.zeros(4))
        """
    )
    result = pytester.runpytest()
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


def test_a_body_that_fails_within_a_step(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    pytester.makepyfile(
        """
        import os
        import torch

        def test_model(parity):
            model = torch.nn.Linear(2, 2)
            with parity.watch(model):
                loss = model(parity.input("x", lambda: torch.ones(1, 2))).sum()
                assert "BREAK" not in os.environ, "on the way"
                loss.backward()
        """
    )
    assert pytester.runpytest("--parity-record").ret == 0
    monkeypatch.setenv("BREAK", "1")
    result = pytester.runpytest()
    result.stdout.fnmatch_lines(["E *AssertionError: on the way", "*/test_model: on the way*"])
    assert result.parseoutcomes() == {"failed": 1}


RUN_TWICE = """
    import os
    from _pytest.runner import runtestprotocol

    def pytest_runtest_protocol(item, nextitem):
        for scale in ("2", "1"):
            os.environ["SCALE"] = scale
            item._initrequest()
            for report in runtestprotocol(item, nextitem=nextitem, log=False):
                item.ihook.pytest_runtest_logreport(report=report)
        return True
"""


def test_a_test_that_is_run_again_is_judged_anew(
    recorded: object, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SCALE", "2")
    pytester.makeconftest(RUN_TWICE)
    assert pytester.runpytest().parseoutcomes() == {"failed": 1, "passed": 1}


def test_a_junit_file_has_the_diagnosis(
    run: Run, recorded: object, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SCALE", "2")
    run("--junitxml=out.xml")
    text = (pytester.path / "out.xml").read_text()
    assert 'failures="1"' in text
    assert '<failure message="' in text
    assert "test_one/test_value" in text.partition('<failure message="')[2][:100]


def test_a_junit_file_of_a_recording(one_test: object, pytester: pytest.Pytester):
    pytester.runpytest("--parity-record", "--junitxml=out.xml")
    text = (pytester.path / "out.xml").read_text()
    assert 'tests="1"' in text
    assert 'failures="0"' in text


def test_results_are_plain_whatever_a_scalar_was():
    import numpy as np

    from pytest_parity.plugin.results import CaseResult
    from pytest_parity.result import Comparison

    comparison = Comparison("c", np.int64(2), np.int32(2), {"equal": np.int64(2)}, {}, (), elements=np.float32(3))
    plain = CaseResult("n", "c", "passed", comparison).to_plain()
    numbers = [plain["comparison"][name] for name in ("expected", "compared", "elements")]
    assert [type(number) for number in numbers] == [int, int, float]
    assert CaseResult.from_plain(plain).comparison.counts == {"equal": 2}
