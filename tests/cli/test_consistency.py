"""``parity consistency``: what it measures, what it writes, and its exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from cli_command import Command, training
from parity_studio import Studio

from pytest_parity.report.consistency_text import MARKER
from pytest_parity.result import Comparison

FACTORY = """
from cli_command import Scaled

def build():
    return Scaled(1.0, 1.0)

def other():
    model = build()
    del model.last.bias
    model.last.bias = None
    return model
"""


@pytest.fixture
def files(studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Studio:
    """The golden ``case`` of a training, configurations, models."""
    studio.record(training())
    monkeypatch.chdir(studio.path)
    monkeypatch.syspath_prepend(studio.path)
    Path("sides.py").write_text(FACTORY)
    Path("a.json").write_text('{"model": {"lr": 0.1}, "name": "a"}')
    Path("b.json").write_text('{"model": {"lr": 0.2}, "name": "a"}')
    return studio


def recorded(studio: Studio, name: str, **options: float) -> str:
    """Another recording, of the same training or of another."""
    Studio(studio.path / name).record(training(**options))
    return f"{name}/golden/case"


def rows(out: str) -> dict[str, str]:
    """The summary: section to mark, of text for a terminal."""
    lines = out.splitlines()[2:]
    marks = ("same", "differs", "not measured")
    found = {}
    for line in lines[: lines.index("") if "" in lines else None]:
        mark = next(mark for mark in marks if f"  {mark}" in line)
        found[line.partition(f"  {mark}")[0].strip()] = mark
    return found


def test_all_of_it_and_all_the_same(files: Studio, parity_command: Command) -> None:
    done = parity_command(
        "consistency",
        *("--config", "a.json", "a.json"),
        *("--structure", "case", "sides:build"),
        *("--recordings", "case", recorded(files, "twin")),
    )
    assert (done.status, done.err) == (0, "")
    assert rows(done.out) == dict.fromkeys(rows(done.out), "same")
    assert len(rows(done.out)) == 9
    assert "  gradients                  same          6 gradients in step 0: equal bit for bit" in done.out


def test_what_differs_is_one_and_what_was_not_measured_is_said(files: Studio, parity_command: Command) -> None:
    done = parity_command("consistency", "--recordings", "case", recorded(files, "other", factor=1.5))
    assert done.status == 1
    found = rows(done.out)
    assert (found["configuration"], found["structure"]) == ("not measured", "not measured")
    assert (found["loss"], found["gradients"], found["weights at a step's start"]) == ("differs", "differs", "same")
    assert "first divergence: " in done.out


def test_one_section_alone(files: Studio, parity_command: Command) -> None:
    config = parity_command("consistency", "--config", "a.json", "b.json")
    assert config.status == 1
    assert rows(config.out)["configuration"] == "differs"
    assert "2 keys: 1 differ, 1 of these change numbers" in config.out
    assert parity_command("consistency", "--config", "a.json", "b.json", "--only", "name").status == 0
    structure = parity_command("consistency", "--structure", "case", "sides:other")
    assert structure.status == 1
    assert rows(structure.out)["structure"] == "differs"
    assert "-2 parameters" in structure.out


def saved(comparison: Comparison, name: str, wrap=lambda plain: plain) -> Path:
    Path(name).write_text(json.dumps(wrap(comparison.to_plain())))
    return Path(name)


def test_the_report_of_a_check_is_evidence(files: Studio, parity_command: Command) -> None:
    found = files.check(training())
    for place, wrap in enumerate(
        (lambda c: c, lambda c: [{"comparison": c}], lambda c: {"passed": 1, "comparison": c})
    ):
        done = parity_command("consistency", "--check", saved(found, f"check{place}.json", wrap))
        assert done.status == 0
        marks = rows(done.out)
        assert (marks["forward"], marks["update"], marks["data"]) == ("same", "same", "not measured")
        assert marks["weights at a step's start"] == "not measured"  # the check put them there


def test_the_report_of_a_failing_check(files: Studio, parity_command: Command) -> None:
    failing = files.failure(training(factor=1.5)).comparison
    assert failing is not None
    done = parity_command("consistency", "--check", saved(failing, "check.json"))
    assert done.status == 1
    assert "case: FAILED" in done.out or "max abs" in done.out


def test_what_compare_saves_is_read_back(files: Studio, parity_command: Command) -> None:
    parity_command("compare", "case", recorded(files, "other", factor=1.5), "--save", "compared.json")
    done = parity_command("consistency", "--check", "compared.json")
    assert done.status == 1
    assert rows(done.out)["loss"] == "differs"


def test_infinities_come_back_as_numbers(files: Studio, parity_command: Command) -> None:
    def body(parity) -> None:
        parity.assert_close("x", torch.zeros(2))

    zero = Studio(files.path / "zero")
    zero.record(body)
    failing = zero.failure(lambda parity: parity.assert_close("x", torch.ones(2))).comparison
    assert failing is not None
    plain = json.loads(json.dumps(failing.to_plain()).replace("Infinity", '"inf"'))
    assert plain["deltas"][0]["metrics"]["max_rel"] == "inf"
    Path("check.json").write_text(json.dumps(plain))
    done = parity_command("consistency", "--check", "check.json")
    assert (done.status, done.err) == (1, "")
    assert " inf " in done.out


def test_markdown_goes_to_a_file_with_the_command_that_made_it(files: Studio, parity_command: Command) -> None:
    Path("preface.md").write_text("Who wrote this: a person.\n")
    asked = (
        "consistency",
        "--config",
        "a.json",
        "b.json",
        "--ignore",
        "na*",
        "--preface",
        "preface.md",
        "-o",
        "report.md",
    )
    done = parity_command(*asked)
    assert done.status == 1
    assert done.out.startswith("report.md: different: configuration; not measured: structure")
    text = Path("report.md").read_text()
    assert text.startswith(f"{MARKER}\n\n# Consistency report\n\nWho wrote this: a person.\n")
    words = [
        "parity consistency",
        "--config a.json b.json",
        "--ignore 'na*'",
        "--preface preface.md",
        "--out report.md",
    ]
    command = " \\\n      ".join(words)
    assert f"```console\n$ {command}\n```\n" in text
    assert "| `model.lr` | `0.1` | `0.2` | changed | changes numbers: the optimizer's step |\n" in text
    assert "| configuration | 1 key | 1 differ, 1 of these change numbers | ❌ differs |\n" in text
    assert "✅" not in text
    parity_command(*asked)  # what it wrote itself it writes again
    assert Path("report.md").read_text() == text


def test_the_same_measurement_gives_the_same_bytes(files: Studio, parity_command: Command) -> None:
    sides = ("--structure", "case", "sides:build", "--recordings", "case", recorded(files, "twin"))
    texts = []
    for _ in range(2):
        parity_command("consistency", *sides, "-o", "report.md")
        texts.append(Path("report.md").read_text())
    assert texts[0] == texts[1]
    assert "| parameters | 74 | 74 | 0 |" in texts[0]


def test_json_for_programs(files: Studio, parity_command: Command) -> None:
    done = parity_command("consistency", "--config", "a.json", "b.json", "--structure", "case", "case", "--json")
    found = json.loads(done.out)
    assert (done.status, found["status"]) == (1, 1)
    marks = {one["title"]: one["mark"] for one in found["findings"]}
    assert (marks["configuration"], marks["structure"], marks["loss"]) == ("differs", "same", "not measured")
    assert found["config"]["differences"][0]["key"] == "model.lr"
    assert found["structure"]["passed"] is True
    assert found["evidence"] == []


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "there is nothing to measure; give --config, --structure, --recordings or --check"),
        (("--structure", "case", "case", "--only", "x"), "--only and --ignore are about --config"),
        (("--recordings", "case", "case"), "which agrees with itself; give two recordings"),
        (("--check", "gone.json"), "--check gone.json cannot be read: No such file"),
        (("--check", "a.json"), "--check a.json holds no comparison; `parity check --save`"),
        (("--check", "sides.py"), "--check sides.py is not JSON"),
        (("--check", "broken.json"), "--check broken.json: its comparison cannot be read (KeyError: "),
        (
            ("--config", "a.json", "b.json", "-o", "sides.py"),
            "-o sides.py: it is there already, and this command did not",
        ),
        (("--config", "a.json", "b.json", "-o", "no/report.md"), "-o no/report.md: there is no directory no"),
        (("--config", "a.json", "b.json", "--preface", "gone.md"), "--preface gone.md cannot be read"),
        (("--recordings", "case", "gone", "--rtol", "1"), "atol"),
    ],
)
def test_trouble_is_one_line_and_status_2(
    files: Studio, parity_command: Command, arguments: tuple[str, ...], why: str
) -> None:
    Path("broken.json").write_text('{"case": "x", "expected": 1, "compared": 1, "deltas": []}')
    done = parity_command("consistency", *arguments)
    assert (done.status, done.out) == (2, "")
    assert why in done.err
    assert done.err.count("\n") == 1


def test_a_report_that_fails_midway_leaves_the_one_that_was_there(files: Studio, parity_command: Command) -> None:
    parity_command("consistency", "--config", "a.json", "a.json", "-o", "report.md")
    before = Path("report.md").read_text()
    assert parity_command("consistency", "--config", "a.json", "gone.json", "-o", "report.md").status == 2
    assert Path("report.md").read_text() == before
    assert not list(Path().glob(".report.md*"))


def test_recordings_in_which_nothing_is_measured_are_status_2(studio: Studio, parity_command: Command) -> None:
    empty = json.dumps(Comparison("case", 0, 0, {}, {}, ()).to_plain())
    path = studio.path / "empty.json"
    path.write_text(empty)
    done = parity_command("consistency", "--check", path)
    assert done.status == 2
    assert set(rows(done.out).values()) == {"not measured"}
