"""The Markdown of a run, as a job's summary or a pull request shows it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pytest_parity.report.document import Told, document
from pytest_parity.report.markdown import markdown
from pytest_parity.report.marks import cell, code, fenced, plain, row
from pytest_parity.report.model import Document
from pytest_parity.result import (
    Cause,
    Closeup,
    Comparison,
    Coverage,
    Delta,
    Diagnosis,
    Difference,
    Element,
    Fault,
    Faulty,
    Hint,
    Histogram,
    Isolation,
    Metrics,
    Noise,
    Part,
    Recorded,
    Tolerance,
    Trace,
    Traced,
    Verdict,
)

METRICS = Metrics(64, 60, 0.01234, 0.5, 0.002, 0.1, 0.99, 3.0, (1, 12), 0.512345, 0.5, 1.3e-6, 0, 0)
NOISE = Noise(norm=1e-3, gain=1e-2, norm_floor=1e-5, gain_floor=1e-5, factor=10.0)
ACT = Delta(
    "activation/layers.1.act#0", 0, 7, Verdict.DIFFERS, 64, Tolerance(0, 0, "noise floor", 10), METRICS, noise=NOISE
)
NORM = replace(ACT, site="activation/layers.1.norm#0", order=8, noise=None, tolerance=Tolerance(1.3e-6, 1e-5))
GONE = Delta("gradient/layers.1.bias", 0, 20, Verdict.MISSING, detail="(8,) float32")
CLOSEUP = Closeup((Element((1, 12), 0.512345, 0.5),), Histogram(-3.0, 0.25, (4,), 60, 0))
HINT = Hint(Cause.ACTIVATION, "with the tanh approximation of GELU it agrees to 0.4 floors")
FAULTY = Faulty(Part.OUTPUT, "layers.1.act", "layers.1.act", 0, 0, ACT.site, 7, 1750.4, 2.1e-4, hints=(HINT,))
OTHER = replace(
    FAULTY,
    module="layers.2.fc",
    floors=12.0,
    relative=3e-5,
    site="activation/layers.2.fc#0",
    hints=(Hint(Cause.BIAS, "its bias is missing"),),
)
FAILED = Comparison(
    case="nest/tiny",
    expected=1236,
    compared=1235,
    counts={"equal": 1200, "close": 33, "differs": 2, "missing": 1},
    kinds={},
    deltas=(ACT, NORM, GONE, replace(GONE, step=2)),
    steps=(0, 1, 2),
    diagnosis=Diagnosis(Fault.MODULE, ACT.site, 0, "layers.1.act", "layers.1.act", hints=("a | b",), causes=(HINT,)),
    environment={"threads": ("1", "2")},
    differences=(
        Difference("constant", "approximate", "none", "tanh", where="layers.1.act", likely=True),
        Difference("config", "trainer.devices", "1", "2"),
    ),
    notes=("modules of the candidate without a counterpart: probe",),
    coverage=Coverage(64, 64, 279, 280),
    isolation=Isolation(0, 3, (FAULTY, OTHER)),
    trace=Trace(0, (Traced(ACT, (64,), "float32", closeup=CLOSEUP), Traced(NORM, (64,)), Traced(GONE))),
)
TEXT = "nest/tiny step 0: layers.1.act is the first module whose output differs while its inputs agree\nmore"
CASE = Told("nest/tiny", "failed", TEXT, FAILED, file="tests/test_nest.py", line=12)
PASSED = Told("small/mlp", "passed", comparison=Comparison("small/mlp", 5, 5, {"equal": 5}, {}, (), steps=(0,)))
RECORDED = Told("new", "recorded", recorded=Recorded("new", (0,), 12, 3000, "golden/new"))


def made(*cases: Told, **options: Any) -> Document:
    return document(cases, command="check", golden="golden", versions={"torch": "2.13.0"}, **options)


def test_the_whole():
    assert (
        markdown(made(PASSED, CASE, RECORDED, lines=["NEST: 2 epochs"]))
        == """\
<!-- pytest-parity -->
## pytest-parity: 1 of 3 cases failed

- **nest/tiny step 0: layers.1.act is the first module whose output differs while its inputs agree**

### `nest/tiny`

`tests/test_nest.py:12`

- a \\| b
- with the tanh approximation of GELU it agrees to 0.4 floors

Alone, fed the golden's values, these differ:

- layers.1.act returns another value: 1,750 noise floors off (relative 0.00021)
- layers.2.fc returns another value: 12 noise floors off (relative 3e-05)
  - its bias is missing

1,235 of 1,236 sites compared: 1,200 equal, 33 close, 2 differs, 1 missing

| step 0 | verdict | floors: norm, gain | max abs | relative | allowed | worst: here, reference |
| --- | --- | --- | --- | --- | --- | --- |
| `activation/layers.1.act#0` | differs | 100, 1e+03 | 0.0123 | 0.1 | 10 floors | `[1, 12] 0.512345, 0.5` |
| `activation/layers.1.norm#0` | differs |  | 0.0123 | 0.1 | 1.3e-06 |  |
| `gradient/layers.1.bias` | missing |  |  |  |  | (8,) float32 |

Other steps fail too: step 2 1 site

| not as in the golden's run | golden | here |
| --- | --- | --- |
| approximate of layers.1.act | none | tanh |
| threads | 1 | 2 |
| trainer.devices | 1 | 2 |

- parameters 64 of 64, module calls 279 of 280
- modules of the candidate without a counterpart: probe

### 1 case passed

- small/mlp: 5 of 5 sites compared in step 0: 5 equal

### 1 case recorded

- new: recorded 12 sites in step 0, 3 kB, to golden/new

- NEST: 2 epochs

<sub>golden `golden`; torch 2.13.0</sub>
"""
    )


def test_of_many_failing_sites_ten_are_shown_and_the_rest_unfolds():
    deltas = tuple(replace(NORM, site=f"activation/layers.{k}#0", order=k) for k in range(150))
    comparison = replace(FAILED, deltas=deltas, trace=None, isolation=None)
    text = markdown(made(replace(CASE, comparison=comparison)))
    shown, folded = text.split("<details><summary>140 further sites</summary>")
    assert shown.count("| `activation/layers.") == 10
    assert folded.count("| `activation/layers.") == 90
    assert "and 50 more\n\n</details>" in folded


def test_all_headlines_come_before_any_detail():
    cases = [replace(CASE, case=f"case{k}", text=f"case{k} is wrong\nmore") for k in range(3)]
    text = markdown(made(*cases))
    assert [text.index(f"**case{k} is wrong**") < text.index("### ") for k in range(3)] == [True] * 3
    assert "3 of 3 cases failed" in text


def test_a_failure_with_nothing_compared_is_shown_as_the_terminal_shows_it():
    text = markdown(made(Told("a", "failed", "golden.json is damaged\n  restore it ```now```")))
    assert "- **golden.json is damaged**" in text
    assert "````text\ngolden.json is damaged\n  restore it ```now```\n````" in text


def test_what_is_wrong_with_the_run_comes_first():
    text = markdown(made(PASSED, complaints=["golden/old: no test uses it"]))
    assert text.index("**golden/old: no test uses it**") < text.index("small/mlp")
    assert "## pytest-parity: 1 case passed, and the run fails" in text


def test_a_run_without_cases_says_so():
    assert "## pytest-parity: no case was run" in markdown(made())


def test_more_than_fits_is_left_out_by_whole_blocks_and_said():
    cases = [replace(PASSED, case=f"case{k}") for k in range(3)] + [replace(CASE, case=f"f{k}") for k in range(60)]
    whole = markdown(made(*cases), limit=1 << 30)
    cut = markdown(made(*cases), limit=20_000)
    assert len(whole.encode()) > 20_000 >= len(cut.encode())
    kept, _, last = cut.rstrip().rpartition("\n\n")
    assert whole.startswith(kept + "\n\n")
    assert last.startswith("**")
    assert "left out**: GitHub takes 20,000 bytes" in last
    assert kept.count("<details>") == kept.count("</details>")


def test_what_fits_is_not_cut():
    text = markdown(made(CASE))
    assert markdown(made(CASE), limit=len(text.encode())) == text
    assert "left out" not in text


@pytest.mark.parametrize("limit", [0, -5, 100])
def test_where_there_is_no_room_left_nothing_is_written_but_that(limit: int):
    assert len(markdown(made(CASE), limit=limit).encode()) <= max(limit, 0)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b <script> `x` *y* [z](u)", r"a\|b \<script\> \`x\` \*y\* \[z\](u)"),
        ("test_mlp.norm_out and __init__ _x_", r"test_mlp.norm_out and \_\_init\_\_ \_x\_"),
        ("the first is activation/a.b#0, here", "the first is `activation/a.b#0`, here"),
        ("updated_weight/w@opt1: ask @team", "`updated_weight/w@opt1`: ask `@team`"),
        ("- no list", r"\- no list"),
        ("1. no list", r"1\. no list"),
        ("1.5 times -2", "1.5 times -2"),
        ("&lt; is", r"\&lt; is"),
        ("two\nlines", "two lines"),
    ],
)
def test_text_means_what_it_says(text: str, shown: str):
    assert plain(text) == shown


def test_code_stands_between_as_many_backticks_as_it_takes():
    assert code("a|b") == "`a|b`"
    assert code("a`b") == "``a`b``"
    assert code("`a`") == "`` `a` ``"
    assert code("") == ""
    assert fenced(["x"]) == "```text\nx\n```"


def test_a_bar_does_not_end_a_cell():
    assert row([code("a|b"), plain("c|d")]) == r"| `a\|b` | c\|d |"
    assert cell("a") == "a"
