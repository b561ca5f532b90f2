"""``parity doctor``: what is here, what goldens need, what is missing, and what to type."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cli_command import Command, training
from parity_studio import Studio

from pytest_parity.cli import checkup, doctor, installed
from pytest_parity.contract import environment as environments
from pytest_parity.golden.manifest import render_manifest

KEYS = ("case", "provenance", "settings", "structure", "steps", "files", "history")


@pytest.fixture(autouse=True)
def _plugin_is_active(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking pytest takes seconds; the tests that are about it ask."""
    monkeypatch.setattr(doctor, "plugin_problem", lambda: "")


@pytest.fixture
def recorded(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(studio.path)
    return studio.record(training()).path


def rewrite(path: Path, settings: dict[str, Any] | None = None, **environment: str) -> None:
    """Have a golden say that it was recorded elsewhere."""
    manifest = json.loads((path / "golden.json").read_text())
    content = {key: manifest[key] for key in (*KEYS, "noise") if key in manifest}
    content["provenance"]["environment"].update(environment)
    content["settings"].update(settings or {})
    (path / "golden.json").write_bytes(render_manifest(content))


def problems(parity_command: Command, *arguments: object) -> list[str]:
    return json.loads(parity_command("doctor", *arguments, "--json").out)["problems"]


# all is well


def test_where_it_was_recorded_all_is_well(recorded: Path, parity_command: Command):
    done = parity_command("doctor")
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].startswith(f"pytest-parity {metadata.version('pytest-parity')}, python 3.")
    assert any(line.split()[:2] == ["torch", metadata.version("torch")] for line in lines)
    assert "plugin: active in pytest here" in lines
    assert any(line.startswith("goldens: 1 case in golden, ") and "exchanged" in line for line in lines)
    assert lines[-2:] == ["case: nothing is missing", "all is well"]


def test_a_golden_that_is_named_says_what_it_was_recorded_with(recorded: Path, parity_command: Command):
    for name in ("case", "golden", "golden/case", recorded):
        out = parity_command("doctor", name).out
        assert f"\n  recorded with torch {metadata.version('torch')}, on cpu, " in out
        assert "step 0\n  kinds: batch, weight, input" in out


def test_it_leaves_the_goldens_as_they_are(recorded: Path, parity_command: Command):
    before = sorted(path.relative_to(recorded.parent) for path in recorded.parent.rglob("*"))
    parity_command("doctor")
    assert sorted(path.relative_to(recorded.parent) for path in recorded.parent.rglob("*")) == before


def test_without_goldens_it_looks_at_the_rest(parity_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    done = parity_command("doctor")
    assert done.status == 0
    assert "goldens: there is no golden here; record some with pytest --parity-record" in done.out


def test_a_golden_that_is_not_there_is_trouble(recorded: Path, parity_command: Command):
    done = parity_command("doctor", "case", "nest/tiny")
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("parity doctor: there is no case 'nest/tiny' in golden")


# what is other here


@pytest.mark.parametrize(
    ("name", "golden", "typed"),
    [
        ("torch", "2.4.0+cu121", "2.4.0+cu121 in the golden; pip install torch==2.4.0, the build for cu121"),
        ("threads", "7", "7 in the golden; OMP_NUM_THREADS=7 pytest ..., or torch.set_num_threads(7)"),
        ("interop threads", "9", "torch.set_num_interop_threads(9) in a conftest.py"),
        (
            "device",
            "cuda (NVIDIA H100)",
            "cpu here, cuda (NVIDIA H100) in the golden; run it where there is a cuda device",
        ),
        ("CPU capability", "NO SUCH", "no such pytest ..., where this CPU has that; else record it again here"),
        ("MKL_CBWR", "AVX2", "absent here, AVX2 in the golden; export MKL_CBWR=AVX2"),
        ("CUDA", "11.1", "11.1 in the golden; a torch built for CUDA 11.1"),
        ("oneDNN", "off", "on here, off in the golden; a torch without oneDNN"),
        ("system", "Minix", "Minix in the golden; record it again here: pytest --parity-record --parity-reason env"),
    ],
)
def test_each_difference_that_can_change_numbers_is_a_problem(
    recorded: Path, parity_command: Command, name: str, golden: str, typed: str
):
    rewrite(recorded, **{name: golden})
    [problem] = problems(parity_command)
    assert problem.startswith(f"case: {name}: ")
    assert typed in problem
    done = parity_command("doctor")
    assert done.status == 1
    assert f"1 problem:\n  {problem}\n" in done.out
    assert "all is well" not in done.out


def test_a_golden_of_a_gpu_is_compared_with_the_gpu_that_is_here(
    recorded: Path, parity_command: Command, monkeypatch: pytest.MonkeyPatch
):
    rewrite(recorded, device="cuda (NVIDIA H100)")
    read = checkup.environment
    monkeypatch.setattr(checkup, "devices", lambda: ["cpu", "cuda:0 (NVIDIA H200)"])
    monkeypatch.setattr(checkup, "environment", lambda device: read("cpu") | {"device": f"{device} (NVIDIA H200)"})
    [problem] = problems(parity_command)
    assert problem.startswith("case: device: cuda (NVIDIA H200) here, cuda (NVIDIA H100) in the golden; run it where")


@pytest.mark.parametrize("name", ["python", "numpy", "pytest-parity"])
def test_what_cannot_change_numbers_is_a_note(recorded: Path, parity_command: Command, name: str):
    rewrite(recorded, **{name: "1.2.3"})
    done = parity_command("doctor")
    assert done.status == 0
    assert f"  {name}: " in done.out
    assert " here, 1.2.3 in the golden; " in done.out


def test_what_a_test_sets_itself_is_told_and_no_problem(recorded: Path, parity_command: Command):
    rewrite(recorded, {"profile": "cuda"}, **{"autocast": "bfloat16", "deterministic algorithms": "on"})
    done = parity_command("doctor", "case")
    assert done.status == 0
    assert "profile cuda" in done.out
    assert (
        "  to be set by the test, its profile or the script: autocast bfloat16 (now off), deterministic algorithms on "
        "(now off)" in done.out
    )


def test_a_problem_of_many_goldens_is_said_once(studio: Studio, parity_command: Command, monkeypatch):
    monkeypatch.chdir(studio.path)
    for case in ("a", "b", "c", "d"):
        rewrite(Studio(studio.path, case).record(training()).path, threads="7")
    [problem] = problems(parity_command)
    assert problem.startswith("a, b, c and 1 more: threads: ")


def test_every_part_of_the_environment_has_something_to_type():
    for name in environments.environment():
        assert checkup.by_the_run(name) or checkup.remedy(name, "1.0", "absent")


# goldens that cannot be read


def test_a_pointer_of_git_lfs_is_a_problem(recorded: Path, parity_command: Command):
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n"
    for file in recorded.glob("step_0/[ag]*.safetensors"):
        file.write_bytes(pointer)
    [problem] = problems(parity_command, "case")
    assert problem.startswith("case: 2 files cannot be read; the first: ")
    assert "git lfs pull" in problem
    (recorded / "golden.json").write_bytes(pointer)
    assert "git lfs pull" in problems(parity_command, "case")[0]


def test_a_type_that_this_torch_does_not_have_is_a_problem(
    recorded: Path, parity_command: Command, monkeypatch: pytest.MonkeyPatch
):
    class Older:
        __version__ = "2.4"

        def __getattr__(self, name: str) -> Any:
            import torch

            if name == "int64":
                raise AttributeError(name)
            return getattr(torch, name)

    monkeypatch.setattr(checkup, "torch", Older())
    assert problems(parity_command) == ["case: dtype int64: torch 2.4 does not have it; pip install --upgrade torch"]


def test_what_killed_recordings_left_is_told(recorded: Path, parity_command: Command):
    (recorded.parent / ".case.recording-0a1b2c3d").mkdir()
    done = parity_command("doctor")
    assert done.status == 0
    assert "  killed recordings left 1 leftover there: parity prune --yes" in done.out


def test_a_disk_without_room_to_record_again_is_told(
    recorded: Path, parity_command: Command, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("shutil.disk_usage", lambda _path: SimpleNamespace(free=1000))
    done = parity_command("doctor")
    assert done.status == 0
    assert ", 1 kB free, " in done.out
    assert "  to record it again there is no room: it takes " in done.out


def test_a_place_that_cannot_be_written_to_is_told(
    recorded: Path, parity_command: Command, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_arguments: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryDirectory", refuse)
    done = parity_command("doctor")
    assert done.status == 0
    assert "read-only (Permission denied): checking works, recording there does not" in done.out


def test_a_file_system_without_exchange_is_told(
    recorded: Path, parity_command: Command, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(checkup, "swap", lambda _one, _other: False)
    assert "exchanged by two renames" in parity_command("doctor").out


# packages


def without(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    """Other versions of packages, and an empty one for what is not installed; a name with ``_`` for ``-``."""

    def version(name: str) -> str:
        found = versions.get(name.replace("-", "_"), metadata.version(name) if name not in versions else "")
        if not found:
            raise metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(installed, "version", version)


def test_a_package_that_is_needed_and_missing_is_a_problem(
    recorded: Path, parity_command: Command, monkeypatch: pytest.MonkeyPatch
):
    without(monkeypatch, xxhash="")
    done = parity_command("doctor")
    assert done.status == 1
    assert "  xxhash is not installed: pip install 'xxhash>=3.0'" in done.out
    assert "no golden was looked at" in done.out


def test_a_package_that_is_too_old_is_a_problem(
    recorded: Path, parity_command: Command, monkeypatch: pytest.MonkeyPatch
):
    without(monkeypatch, pytest="7.0.0", omegaconf="2.0.0")
    assert problems(parity_command) == [
        "pytest 7.0.0 is installed, and >=8.2 is needed: pip install 'pytest>=8.2'",
        "omegaconf 2.0.0 is installed, and >=2.3 is needed: pip install 'pytest-parity[config]'",
    ]


def test_what_is_optional_may_be_missing(recorded: Path, parity_command: Command, monkeypatch: pytest.MonkeyPatch):
    without(monkeypatch, lightning="", shtab="")
    done = parity_command("doctor")
    assert done.status == 0
    assert any(line.split()[:3] == ["shtab", "not", "installed"] for line in done.out.splitlines())


def test_a_torch_that_cannot_be_imported_is_a_problem(
    recorded: Path, parity_command: Command, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "torch", None)
    done = parity_command("doctor")
    assert done.status == 1
    assert "cannot be imported: ModuleNotFoundError: " in done.out


def test_it_runs_where_nothing_that_goldens_need_can_be_imported(tmp_path: Path):
    blocked = "sys.modules.update(dict.fromkeys(('torch', 'numpy', 'safetensors', 'xxhash')))"
    script = f"import sys; {blocked}; from pytest_parity.cli import main; sys.exit(main(['doctor']))"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert "5 problems:\n  torch " in done.stdout
    assert done.stdout.endswith("  no golden was looked at, which takes what is missing\n")


# pytest's plugin


def test_the_plugin_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert installed.plugin_problem() == ""


@pytest.mark.parametrize(
    ("name", "value", "typed"),
    [
        ("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1", "is set: unset it, or pytest -p pytest_parity.plugin"),
        ("PYTEST_ADDOPTS", "-p no:parity", "has -p no:parity: unset PYTEST_ADDOPTS"),
        ("PYTEST_ADDOPTS", "-p no_such_plugin", "pytest does not start here (exit status "),
    ],
)
def test_what_turns_the_plugin_off_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, typed: str
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name, value)
    assert typed in installed.plugin_problem()


def test_a_project_that_turns_the_plugin_off_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p no:parity\n")
    monkeypatch.chdir(tmp_path)
    assert "remove '-p no:parity'" in installed.plugin_problem()


def test_a_plugin_that_is_loaded_by_name_is_active(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p pytest_parity.plugin")
    assert installed.plugin_problem() == ""


def test_a_package_that_is_only_on_the_path_has_no_plugin(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(installed, "entry_points", lambda **_of: ())
    assert "the package is not installed: pip install pytest-parity" in installed.plugin_problem()


def test_a_plugin_that_is_off_is_a_problem(recorded: Path, parity_command: Command, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "plugin_problem", lambda: "something turns it off")
    done = parity_command("doctor")
    assert done.status == 1
    assert "plugin: not active" in done.out
    assert "  pytest's plugin: something turns it off" in done.out


def test_a_root_that_is_named_and_not_there_is_trouble(studio: Studio, parity_command: Command) -> None:
    """All is well with no golden of a directory that was misspelt."""
    missing = studio.path / "goldn"
    done = parity_command("doctor", "--root", missing)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"parity doctor: --root {missing}: there is no such directory")
