"""Goldens that no test uses, as a collection by pytest itself tells; nothing is removed unasked, nothing foreign ever."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from cli_command import Command

from pytest_parity.golden import GoldenWriter
from pytest_parity.golden.staging import Staging
from pytest_parity.site import Kind, Site

TESTS = """
import pytest

@pytest.mark.parity("used/one")
def test_one(parity): pass
"""


def golden(root: Path, case: str) -> Path:
    writer = GoldenWriter(root, case)
    writer.write(0, 0, Site(Kind.OUTPUT, "x"), torch.ones(3))
    writer.finish_step(0, {})
    return writer.commit(provenance={}, settings={}, structure={}, history=[])


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a test, its golden, and one that no test uses."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest -p no:hydra_pytest -p no:cacheprovider")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_it.py").write_text(TESTS)
    golden(tmp_path / "golden", "used/one")
    golden(tmp_path / "golden", "old/deep/case")
    return tmp_path


def test_it_shows_and_removes_nothing(project: Path, parity_command: Command):
    done = parity_command("prune")
    assert done.out.splitlines() == [
        "old/deep/case: stale, no test has this case",
        "1 stale golden, 0 leftovers; nothing was removed, --yes removes",
    ]
    assert (done.status, done.err) == (1, "")
    assert (project / "golden/old/deep/case/golden.json").exists()


def test_with_yes_it_removes(project: Path, parity_command: Command):
    done = parity_command("prune", "--yes")
    assert (done.status, done.out) == (0, "old/deep/case: removed\n")
    assert sorted(path.name for path in (project / "golden").iterdir()) == ["used"]
    assert (project / "golden/used/one/golden.json").exists()


def test_where_nothing_is_stale(project: Path, parity_command: Command):
    shutil.rmtree(project / "golden/old")
    done = parity_command("prune", "--yes")
    assert (done.status, done.out) == (0, f"nothing to prune in {project / 'golden'}\n")


def test_what_is_no_goldens_stays_and_is_named(project: Path, parity_command: Command):
    readme = project / "golden/old/deep/case/README.md"
    readme.write_text("mine")
    done = parity_command("prune", "--yes")
    assert done.out == f"old/deep/case: removed; kept, since they are no golden's: {readme}\n"
    assert [path.name for path in readme.parent.iterdir()] == ["README.md"]


def test_what_a_killed_recording_left_goes_and_a_live_one_stays(project: Path, parity_command: Command):
    shutil.rmtree(project / "golden/old")
    litter = project / "golden/used/.one.recording-0123abcd"
    litter.mkdir()
    (litter / "weights.safetensors").write_text("half")
    live = Staging(project / "golden/used/two")
    assert parity_command("prune").out.splitlines()[0] == f"{litter}: left by a recording that was killed"
    assert parity_command("prune", "--yes").out == f"{litter}: removed\n"
    assert not litter.exists()
    assert live.path.exists()
    live.discard()


def test_an_exchange_that_was_interrupted_is_not_litter(project: Path, parity_command: Command):
    shutil.rmtree(project / "golden/old")
    used = project / "golden/used"
    shutil.copytree(used / "one", used / ".one.recording-0123abcd")
    (used / "one").rename(used / ".one.replaced-0123abcd")
    assert parity_command("prune", "--yes").out.startswith("nothing to prune")


def test_tests_that_were_not_collected_may_own_any_golden(project: Path, parity_command: Command):
    (project / "test_two.py").write_text("import pytest\npytest.importorskip('a_module_that_is_absent')")
    done = parity_command("prune", "--yes")
    assert done.status == 2
    assert done.err == (
        "parity prune: not every test was collected, so nothing is known to be stale: left out, skipped or failed "
        "as a whole: test_two.py\n"
    )
    assert (project / "golden/old/deep/case/golden.json").exists()


@pytest.mark.parametrize(
    "conftest",
    [
        "collect_ignore = ['test_two.py']",
        "collect_ignore = ['gpu']",
        "def pytest_ignore_collect(collection_path): return collection_path.name == 'test_two.py' or None",
    ],
)
def test_what_a_conftest_leaves_out_may_own_any_golden(project: Path, parity_command: Command, conftest: str):
    (project / "gpu").mkdir()
    for path in (project / "test_two.py", project / "gpu/test_three.py"):
        path.write_text("def test_plain(): pass")
    (project / "conftest.py").write_text(conftest)
    done = parity_command("prune", "--yes")
    assert done.status == 2
    assert "nothing is known to be stale: left out, skipped or failed as a whole: " in done.err
    assert (project / "golden/old/deep/case/golden.json").exists()


def test_what_pytest_never_enters_has_no_tests(project: Path, parity_command: Command):
    for place in ("build", ".hidden", "__pycache__", "environment"):
        (project / place).mkdir(exist_ok=True)
        (project / place / "test_other.py").write_text("def test_plain(): pass")
    (project / "environment/pyvenv.cfg").touch()
    (project / "conftest.py").write_text("collect_ignore = ['notes.txt']")
    (project / "notes.txt").touch()
    assert parity_command("prune").out.splitlines()[0] == "old/deep/case: stale, no test has this case"


def test_pytest_without_the_plugin_is_trouble(project: Path, parity_command: Command):
    done = parity_command("prune", "--yes", "--", "-p", "no:parity")
    assert (done.status, "pytest ran without the plugin parity" in done.err) == (2, True)


def test_tests_that_were_left_out_are_told(project: Path, parity_command: Command):
    (project / "test_two.py").write_text("def test_plain(): pass")
    done = parity_command("prune", "--yes", "--", "test_two.py")
    assert (done.status, "these arguments leave tests out" in done.err) == (2, True)


def test_deselected_tests_own_their_goldens(project: Path, parity_command: Command):
    done = parity_command("prune", "--", "-k", "nothing")
    assert done.out.splitlines()[0] == "old/deep/case: stale, no test has this case"
    assert "used/one" not in done.out


def test_a_place_without_tests_is_trouble(project: Path, parity_command: Command):
    (project / "test_it.py").write_text("def test_plain(): pass")
    done = parity_command("prune", "--yes")
    assert (done.status, "no test has a case, and there are goldens in" in done.err) == (2, True)


def test_a_collection_that_cannot_start_is_trouble(project: Path, parity_command: Command):
    done = parity_command("prune", "--", "--no-such-option")
    assert done.status == 2
    assert done.err.startswith("parity prune: pytest could not collect the tests (exit status 4): ")
    assert "--no-such-option" in done.err


def test_the_goldens_are_where_pytest_says(project: Path, parity_command: Command):
    (project / "golden").rename(project / "elsewhere")
    (project / "pytest.ini").write_text("[pytest]\nparity_ref = elsewhere\n")
    told = json.loads(parity_command("prune", "--json").out)
    assert told == {"root": str(project / "elsewhere"), "stale": {"old/deep/case": []}, "litter": [], "removed": False}


def test_or_where_the_option_says(project: Path, parity_command: Command):
    (project / "golden").rename(project / "elsewhere")
    assert parity_command("prune", "--root", "elsewhere").out.startswith("old/deep/case: stale")
