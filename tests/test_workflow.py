"""The pages: each command of ours that they show is one that is there, with files that are; docs/workflow.md in particular."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from readme import ROOT, blocks

from pytest_parity import Golden, Kind
from pytest_parity.cli import COMMANDS, main, parse

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "examples/nest").glob("*.md"))]
WORKFLOW = (ROOT / "docs" / "workflow.md").read_text(encoding="utf-8")
CANDIDATE = ROOT / "examples" / "nest"
"""What is on the path of who follows the page."""
_PROMPT = re.compile(r"(?:\(\w+\) )?\$ (.*)")
_ENDS = re.compile(r"[;&|<>()]+")
_ATTRIBUTE = re.compile(r"([a-z_][\w.]*):([A-Za-z_]\w*)")
_PATH = re.compile(r"(?:examples|golden|docs|tests)/[\w./-]+")


def typed(text: str) -> Iterator[list[str]]:
    """The words of each command in a page's blocks, of several on one line each."""
    for block in blocks(text):
        if block.language == "console":
            lines = (match[1] for match in map(_PROMPT.fullmatch, _joined(block.text)) if match)
        else:
            lines = iter(_joined(block.text) if block.language == "sh" else ())
        for line in lines:
            yield from _commands(line)


def _joined(text: str) -> list[str]:
    return re.sub(r"\\\n\s*", " ", text).splitlines()


def _commands(line: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if _ENDS.fullmatch(word):
            if words:
                yield words
            words = []
        elif words or "=" not in word:  # what is set in a command's environment stands before it
            words.append(word)


def ours(text: str) -> list[list[str]]:
    """What is typed behind ``parity``."""
    return [words[1:] for words in typed(text) if words[0] == "parity"]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_the_commands_are_ours(page: Path):
    for words in ours(page.read_text(encoding="utf-8")):
        assert parse(words).command == words[0], words


def test_all_that_a_workflow_takes_is_shown():
    shown = {words[0] for words in ours(WORKFLOW)}
    assert shown >= {"record", "check", "compare", "import", "config", "structure", "consistency"}
    assert shown <= set(COMMANDS)


def test_a_command_that_is_none_is_found(capsys: pytest.CaptureFixture[str]):
    page = "```console\n(nemo) $ A=1 parity compare one two \\\n    --stpe 0 > out; parity show one\n```\n"
    first, second = ours(page)
    assert first == ["compare", "one", "two", "--stpe", "0"]
    with pytest.raises(SystemExit):
        parse(first)
    assert "--stpe" in capsys.readouterr().err
    assert parse(second).command == "show"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_the_files_of_the_workflow_are_there():
    named = {path for words in typed(WORKFLOW) for path in words if _PATH.fullmatch(path)}
    assert len(named) == 4
    missing = [path for path in named if not (ROOT / path).exists()]
    assert not missing


def test_what_the_workflow_takes_from_modules_is_there():
    named = {match.groups() for words in typed(WORKFLOW) for match in map(_ATTRIBUTE.fullmatch, words) if match}
    assert named == {("nest_ssl.names", "NEST_NAMES"), ("full_model", "build")}
    for module, attribute in named:
        text = CANDIDATE.joinpath(*module.split(".")).with_suffix(".py").read_text(encoding="utf-8")
        assert re.search(rf"^(def )?{attribute}\b", text, re.MULTILINE)


def test_its_excerpts_are_what_the_files_say():
    files = [(CANDIDATE / name).read_text(encoding="utf-8") for name in ("nemo_loop.py", "nest_loop.py")]
    excerpts = [block.text for block in blocks(WORKFLOW) if block.language == "python"]
    assert len(excerpts) == len(files)
    for excerpt, text in zip(excerpts, files, strict=True):
        there = iter(text.splitlines())
        assert all(line in there for line in excerpt.splitlines() if line.strip() != "[...]"), excerpt


def test_its_two_callbacks_can_be_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Each line of its diffs, as it would be run where it is to be put in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(CANDIDATE)
    diffs = [block.text for block in blocks(WORKFLOW) if block.language == "diff"]
    assert len(diffs) == 2
    for diff in diffs:
        lines = [line.removeprefix("+").strip() for line in diff.splitlines() if "nest_ssl" not in line]
        trainer = type("Trainer", (), {"callbacks": []})
        exec("\n".join(lines), {"trainer": trainer, "NEST_NAMES": {}})
        (callback,) = trainer.callbacks
        assert callback.case == "nest/callback"


def test_an_old_savers_files_are_imported_as_it_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """NeMo's first step, as committed, in the files that a saver left."""
    with Golden.find(ROOT / "golden", "nest/tiny") as golden:
        parameters = golden.manifest["structure"]["parameters"]
        by_kind: dict[Kind, dict[str, torch.Tensor]] = {kind: {} for kind in Kind}
        for entry in golden.entries(0):
            if entry.site.kind is Kind.BATCH or not entry.site.leaf:
                name = entry.site.leaf if entry.site.kind is Kind.BATCH else entry.site.path
                by_kind[entry.site.kind][name] = golden.tensor(entry)
    step = tmp_path / "old" / "step_0"
    step.mkdir(parents=True)
    gradients = {name: by_kind[Kind.GRADIENT].get(name) for name in parameters}
    (output,), (loss,) = by_kind[Kind.OUTPUT].values(), by_kind[Kind.LOSS].values()
    files = {
        "batch": by_kind[Kind.BATCH],
        "forward_output": output,
        "loss": loss,
        "parameter_gradients": gradients,
        "parameter_weights": {name: by_kind[Kind.UPDATED_WEIGHT][name] for name in parameters},
    }
    for name, value in files.items():
        torch.save(value, step / f"{name}.pt")
    for path in (step / "layer_outputs.pkl", step / "metadata.pkl", step.parent / "metadata.pkl"):
        path.touch()
    (step.parent / "model_structure.pkl").touch()
    status = main(["import", str(step.parent), "--case", "old/nemo", "--root", str(tmp_path / "fresh")])
    said = capsys.readouterr().out.splitlines()
    shown = WORKFLOW.partition("--case old/nemo --root fresh\n")[2].partition("[...]")[0].splitlines()
    assert status == 0
    assert [_unsized(line) for line in said[: len(shown)]] == [_unsized(line) for line in shown]


def _unsized(line: str) -> str:
    return re.sub(r"[\d.]+ MB, to \S+$", "# MB", line)
