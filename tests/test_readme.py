"""What the README shows is what is there and what comes out."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from readme import ROOT, blocks, play, readme, section

from pytest_parity import Golden, Kind
from pytest_parity.golden.cases import cases

ANYTHING = "[...]"
"""A line of the README that stands for any lines."""
NEAR = 0.05
"""Relative: what other processors may make of a number in a failure's table."""
TIMES = 0.9
"""The same of multiples of a noise floor, which is rounding itself: the power of ten."""


def test_the_tutorials_files_are_shown_as_they_are():
    shown = [block.text for block in blocks(section("Tutorial")) if block.language == "python"]
    files = [
        (ROOT / "examples" / "tutorial" / name).read_text(encoding="utf-8") for name in ("model.py", "test_model.py")
    ]
    assert shown == files


def test_the_tutorial_comes_out_as_it_is_shown(tmp_path: Path):
    played = list(play(tmp_path))
    assert len(played) == 4
    for shown, actual in played:
        assert not mismatch(shown, actual), f"{mismatch(shown, actual)}\n\nwhat comes out now:\n\n{actual}"


def test_the_main_jobs_sites_are_those_of_the_goldens():
    (console,) = [block.text for block in blocks(section("Two commands")) if block.language == "console"]
    shown = re.findall(r"^(\S+): ([\d,]+) of ([\d,]+) sites", console, re.MULTILINE)
    assert {case: (compared, all_) for case, compared, all_ in shown} == {
        case: (f"{_sites(case):,}", f"{_sites(case):,}") for case in cases(ROOT / "golden")
    }


def _sites(case: str) -> int:
    with Golden.find(ROOT / "golden", case) as golden:
        structure = golden.manifest["structure"]
        compared = [
            entry for step in golden.steps for entry in golden.entries(step) if entry.site.kind is not Kind.BATCH
        ]
        return len(compared) or len(structure["parameters"]) + len(structure["buffers"])


def test_a_drifted_readme_is_found():
    actual = "one two\n3 differs by 0.5, 1.25\nfour"
    assert not mismatch("one two\n3 differs by 0.51, 1.2\nfour", actual)
    assert not mismatch("[...]\nfour", actual)
    assert mismatch("one three\n[...]", actual)
    assert mismatch("one two\n[...]\n3 differs by 0.6, 1.25\nfour", actual)
    floors = "x differs {}, 4.4e+03 0.5 10 floors"
    assert not mismatch(floors.format("1.1e+03"), floors.format("4e+03"))
    assert mismatch(floors.format("1.1e+03"), floors.format("1.2e+04"))
    assert mismatch(floors.format("1.1e+03").replace("0.5", "0.6"), floors.format("1.1e+03"))
    assert mismatch("one two\n[...]", "one two")
    assert mismatch("one two", actual)


def test_every_link_leads_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", readme()):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_every_option_is_in_the_table_and_no_other(pytester: pytest.Pytester):
    options = set(re.findall(r"^  (--parity-[a-z-]+)", pytester.runpytest("--help").stdout.str(), re.MULTILINE))
    assert options
    assert options == set(re.findall(r"^\| `(--parity-[a-z-]+)", section("Options"), re.MULTILINE))


def test_every_ini_option_is_in_the_text(pytester: pytest.Pytester):
    names = set(re.findall(r"^  (parity_\w+)", pytester.runpytest("--help").stdout.str(), re.MULTILINE))
    assert names
    assert names <= set(re.findall(r"`(parity_\w+)`", section("Options")))


def test_python_blocks_are_python():
    for block in blocks(readme()):
        if block.language == "python":
            compile(block.text, "README.md", "exec")


def mismatch(shown: str, actual: str) -> str:
    """The first line of ``shown`` that is not in ``actual`` where it should be; empty if all are."""
    lines, at, anywhere = actual.strip().splitlines(), 0, False
    for line in shown.strip().splitlines():
        if line == ANYTHING:
            anywhere = True
            at += 1
            continue
        reach = range(at, len(lines) if anywhere else min(at + 1, len(lines)))
        found = next((place for place in reach if _alike(line, lines[place])), None)
        if found is None:
            return f"not there: {line}"
        at, anywhere = found + 1, False
    return (
        ""
        if at == len(lines) or (anywhere and at <= len(lines))
        else f"not in the README: {lines[min(at, len(lines) - 1)]}"
    )


def _alike(shown: str, actual: str) -> bool:
    ours, theirs = _words(shown), _words(actual)
    near = [NEAR if "differs" in shown else 0.0] * len(ours)
    if {"floors", "differs"} <= set(ours):
        first = ours.index("differs") + 1
        near[first : first + 2] = [TIMES, TIMES]
    return len(ours) == len(theirs) and all(
        one == other or (far and _near(one, other, far)) for one, other, far in zip(ours, theirs, near, strict=True)
    )


def _words(line: str) -> list[str]:
    line = re.sub(r"\bin \d+\.\d+s( \([\d:]+\))?", "in #s", line.strip("= "))
    line = re.sub(r"\brun(s?) of the test, \d+\.\d s", r"run\1 of the test, # s", line)
    return re.sub(r"\[\d+(, \d+)*\]", "[#]", line).replace(",", " ").split()


def _near(one: str, other: str, far: float) -> bool:
    try:
        return math.isclose(float(one), float(other), rel_tol=far, abs_tol=2.0 if one.isdecimal() else 0.0)
    except ValueError:
        return False
