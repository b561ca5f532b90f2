"""Recording over a golden: what moved is told, the history grows, and under CI it takes a reason."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from .project import Run, contents, manifest

CASE = "golden/test_one/test_value"
REASON = ("--parity-record", "--parity-reason", "twice as much")
REFUSED = "*test_one/test_value has a golden in *, and under CI it is not recorded again without a reason, *"


@pytest.fixture
def twice(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project, whose value is another than the golden's by now."""
    monkeypatch.setenv("SCALE", "2")
    return recorded.parent


def history(project: Path) -> list[dict[str, Any]]:
    found: Any = manifest(project / CASE)["history"]
    return list(found)


def test_the_summary_says_what_moved(run: Run, twice: Path):
    result = run(*REASON)
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "test_one/test_value: recorded 1 site*",
            "  in place of the golden that was there: 1 moved beyond it",
            "  output/x  * roundings, 5.48 -> 11",
            "  reason: twice as much",
        ]
    )


def test_where_the_golden_has_a_noise_floor_it_counts_in_those(pytester: pytest.Pytester):
    project = """
    import torch

    def test_value(parity):
        x = parity.input("x", lambda: torch.rand(100))
        parity.assert_close("y", {scale} * x.sqrt())
    """
    pytester.makepyfile(test_one=project.format(scale=1.5))
    assert pytester.runpytest("--parity-record").ret == 0
    pytester.makepyfile(test_one=project.format(scale=3.0))
    pytester.runpytest(*REASON).stdout.fnmatch_lines(
        [
            "  in place of the golden that was there: 1 equal, 1 moved beyond it",
            "  output/y  * noise floors, *",
        ]
    )


def test_the_history_says_what_and_why(run: Run, twice: Path):
    run(*REASON)
    (line,) = history(twice)
    assert line["reason"] == "twice as much"
    assert line["sites"] == {"beyond": 1}
    (site,) = line["moved"]
    assert (site["site"], site["step"]) == ("output/x", 0)
    assert site["before"] == pytest.approx(30**0.5)
    assert site["after"] == pytest.approx(2 * 30**0.5)
    assert line["versions"]["torch"] == torch.__version__


def test_nothing_of_time_place_or_person_is_in_it(twice: Path, pytester: pytest.Pytester):
    pytester.runpytest(*REASON)
    (line,) = history(twice)
    assert line.keys() <= {"reason", "sites", "moved", "loss", "others", "changes", "versions"}


def test_the_same_again_is_the_same_bytes(run: Run, recorded: Path):
    before = contents(recorded.parent / "golden")
    result = run("--parity-record", "--parity-reason", "for no reason")
    result.stdout.fnmatch_lines(["  nothing moved: 1 site equal to the golden that was there"])
    assert contents(recorded.parent / "golden") == before


def test_a_second_change_is_a_second_line(twice: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    pytester.runpytest(*REASON)
    monkeypatch.setenv("SCALE", "3")
    pytester.runpytest("--parity-record")
    assert [line["reason"] for line in history(twice)] == ["twice as much", ""]


def test_recording_the_same_twice_after_a_change_is_the_same_bytes(twice: Path, pytester: pytest.Pytester):
    pytester.runpytest(*REASON)
    before = contents(twice / "golden")
    pytester.runpytest("--parity-record")
    assert contents(twice / "golden") == before


@pytest.mark.parametrize("ci", ["true", "1", "yes"])
def test_under_ci_it_takes_a_reason(
    run: Run, twice: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, ci: str
):
    witness = "\n    def test_two(self, parity): import torch; parity.assert_close('y', torch.ones(2))\n"
    (twice / "test_two.py").write_text(f"class TestNew:{witness}")
    (twice / "test_one.py").write_text(
        (twice / "test_one.py").read_text().replace("parity.assert", "print('the body ran'); parity.assert")
    )
    monkeypatch.setenv("CI", ci)
    before = contents(twice / CASE)
    result = run("--parity-record", "-s")
    assert result.ret == 1
    result.stdout.fnmatch_lines([REFUSED])
    result.stdout.no_fnmatch_line("*the body ran*")
    assert contents(twice / CASE) == before
    assert (twice / "golden/test_two/TestNew.test_two/golden.json").exists()  # what is new needs none


def test_with_one_it_records(run: Run, twice: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CI", "true")
    assert run(*REASON).ret == 0
    assert len(history(twice)) == 1


@pytest.mark.parametrize("ci", ["", "0", "false", "False"])
def test_elsewhere_it_takes_none(twice: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, ci: str):
    monkeypatch.setenv("CI", ci)
    assert pytester.runpytest("--parity-record").ret == 0


def test_under_ci_a_fresh_directory_takes_none(twice: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CI", "true")
    assert pytester.runpytest("--parity-record", "--parity-ref", "fresh").ret == 0
    assert pytester.runpytest("--parity-record-missing", "--parity-ref", "fresh").ret == 0


def test_the_environment_is_no_reason_where_it_is_the_same(run: Run, twice: Path):
    before = contents(twice / "golden")
    result = run("--parity-record", "--parity-reason", "env")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "test_one/test_value: not recorded: the reason 'env' says that *; the golden is untouched. Say what else *",
        ]
    )
    assert contents(twice / "golden") == before


@pytest.fixture
def threads() -> Iterator[int]:
    before = torch.get_num_threads()
    yield before + 1
    torch.set_num_threads(before)


def test_the_environment_is_one_where_it_is_another(run: Run, twice: Path, pytester: pytest.Pytester, threads: int):
    pytester.makeconftest(f"import torch\ntorch.set_num_threads({threads})")
    result = run("--parity-record", "--parity-reason", "env")
    assert result.ret == 0
    result.stdout.fnmatch_lines([f"  changed besides: *threads {threads - 1} -> {threads}*", "  reason: env"])
    (line,) = history(twice)
    assert line["changes"]["threads"] == [str(threads - 1), str(threads)]


def test_another_environment_alone_is_a_line_too(recorded: Path, pytester: pytest.Pytester, threads: int):
    pytester.makeconftest(f"import torch\ntorch.set_num_threads({threads})")
    result = pytester.runpytest("--parity-record", "--parity-reason", "env")
    result.stdout.fnmatch_lines(["  nothing moved: *", f"  changed besides: *threads {threads - 1} -> {threads}*"])
    assert history(recorded.parent)[0]["sites"] == {"equal": 1}


def test_what_the_project_says_of_itself_is_a_change_too(recorded: Path, pytester: pytest.Pytester):
    pytester.makeconftest("def pytest_parity_provenance(config): return {'nemo': '3.1.0'}")
    result = pytester.runpytest("--parity-record")
    result.stdout.fnmatch_lines(["  changed besides: nemo absent -> 3.1.0"])


@pytest.mark.parametrize("others", [(), ("--parity-record-missing",)])
def test_a_reason_without_a_recording_is_a_usage_error(
    recorded: Path, pytester: pytest.Pytester, others: tuple[str, ...]
):
    result = pytester.runpytest("--parity-reason", "twice as much", *others)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--parity-reason 'twice as much' is why goldens are recorded again, and this run *"])


def test_an_empty_reason_is_a_usage_error(recorded: Path, pytester: pytest.Pytester):
    result = pytester.runpytest("--parity-record", "--parity-reason", "  ")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--parity-reason is empty; say in a line why the goldens are recorded again"])


def test_the_environment_of_a_golden_that_cannot_be_read_is_no_reason(run: Run, twice: Path):
    path = twice / CASE / "golden.json"
    path.write_bytes(path.read_bytes()[:-9])
    before = contents(twice / "golden")
    result = run("--parity-record", "--parity-reason", "env")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["*the reason 'env' cannot be checked, since the golden that is there cannot be read: *"]
    )
    assert contents(twice / "golden") == before


@pytest.mark.parametrize("moves", [True, False])
def test_quiet_says_what_moved_and_no_more(run: Run, twice: Path, monkeypatch: pytest.MonkeyPatch, *, moves: bool):
    if not moves:
        monkeypatch.delenv("SCALE")
    shown = "\n".join(run("-q", *REASON).stdout.lines)
    assert ("  in place of the golden that was there: 1 moved beyond it" in shown) is moves
    assert ("test_one/test_value: recorded" in shown) is moves


def test_a_tensor_that_cannot_be_read_is_noted_and_the_history_stays(
    twice: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
):
    pytester.runpytest(*REASON)
    path = twice / CASE / "step_0/outputs.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    monkeypatch.setenv("SCALE", "3")
    result = pytester.runpytest("--parity-record", "--parity-reason", "damaged")
    result.stdout.fnmatch_lines(["  what moved cannot be told: output/x of step 0 is damaged: *"])
    assert [line["reason"] for line in history(twice)] == ["twice as much", "damaged"]


COLLECTING = """
    import os
    import torch

    def test_value(parity):
        scale = float(os.environ.get("SCALE", "1"))
        parity.assert_close("x", torch.ones(3) * scale)
        parity.assert_close("y", torch.ones(3) * scale)
"""


@pytest.mark.parametrize(("options", "failing"), [((), "1 of 2 sites"), (("--parity-collect",), "2 of 2 sites")])
def test_collecting_goes_on_after_a_failure(
    run: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], failing: str
):
    pytester.makepyfile(test_one=COLLECTING)
    pytester.runpytest("--parity-record")
    monkeypatch.setenv("SCALE", "2")
    result = run(*options)
    assert result.ret == 1
    result.stdout.fnmatch_lines([f"test_one/test_value: FAILED: {failing} compared*"])
