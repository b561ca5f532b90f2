"""``parity config``: what it says, and its exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_command import Command

REFERENCE = {"name": "a", "model": {"width": 8, "bias": True, "thing": 1, "depth": 2}}
CANDIDATE = {"name": "b", "model": {"width": 16, "bias": "True", "thing": 2}}


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in {"a.json": REFERENCE, "b.json": CANDIDATE}.items():
        Path(name).write_text(json.dumps(content))


def test_what_changes_numbers_is_said_first(parity_command: Command) -> None:
    done = parity_command("config", "a.json", "b.json")
    assert (done.status, done.err) == (1, "")
    assert done.out.splitlines() == [
        "5 of 5 keys differ; the reference is a.json, the candidate b.json",
        "",
        "changes numbers: 3",
        "  model.width  changed  8 -> 16         the size of the model",
        '  model.bias   type     true -> "True"  which code runs',
        "  model.depth  missing  2 -> absent     the size of the model",
        "",
        "may change numbers: 1",
        "  model.thing  changed  1 -> 2  not a key that is known",
        "",
        "hardly changes numbers: 1",
        '  name  changed  "a" -> "b"  a name',
    ]


def test_a_file_against_itself(parity_command: Command) -> None:
    done = parity_command("config", "a.json", "a.json")
    assert (done.status, done.out) == (
        0,
        "5 keys compared, all the same; the reference is a.json, the candidate a.json\n",
    )


def test_a_difference_that_hardly_matters_is_one_all_the_same(parity_command: Command) -> None:
    assert parity_command("config", "a.json", "b.json", "--only", "name").status == 1
    done = parity_command("config", "a.json", "b.json", "--only", "model.thing", "--only", "name", "--ignore", "name")
    assert done.status == 1
    assert done.out.endswith("\n--ignore name left out 1 key\n")


def test_json_for_programs(parity_command: Command) -> None:
    done = parity_command("config", "a.json", "b.json", "--ignore", "model.[!d]*", "--json")
    found = json.loads(done.out)
    assert done.status == 1
    assert found == {
        "reference": "a.json",
        "candidate": "b.json",
        "passed": False,
        "compared": 2,
        "differences": [
            {
                "key": "model.depth",
                "change": "missing",
                "effect": "numbers",
                "reason": "the size of the model",
                "reference": 2,
            },
            {
                "key": "name",
                "change": "changed",
                "effect": "unlikely",
                "reason": "a name",
                "reference": "a",
                "candidate": "b",
            },
        ],
        "ignored": {"model.[!d]*": 3},
        "unresolved": {},
    }


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("a.json", "gone.json"), "gone.json cannot be read: No such file or directory"),
        (("a.json", "b.json", "--only", "modl"), "--only modl selects no key of a.json and none of b.json"),
        (("a.json", "b.json", "--ignore", "*"), "there is no key to compare, --ignore leaves none"),
        (("a.json", "."), ". is no configuration"),
    ],
)
def test_trouble_is_one_line_and_status_2(parity_command: Command, arguments: tuple[str, ...], why: str) -> None:
    done = parity_command("config", *arguments)
    assert (done.status, done.out) == (2, "")
    assert why in done.err
    assert done.err.count("\n") == 1
