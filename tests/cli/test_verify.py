from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_command import Command, training
from parity_studio import Studio

from pytest_parity.golden.manifest import read_manifest, render_manifest


@pytest.fixture
def golden(studio: Studio) -> Path:
    return studio.record(training(steps=2), draws=2).path


@pytest.fixture
def verify(golden: Path, parity_command: Command):
    return lambda *args: parity_command("verify", golden.parent, *args)


def test_a_golden_as_recorded_is_fine(verify):
    done = verify()
    assert (done.status, done.err) == (0, "")
    first, last = done.out.splitlines()
    assert first.startswith("case: ")
    assert first.endswith("all as recorded")
    assert last == "1 golden verified"


def test_of_a_directory_all_cases(studio: Studio, verify):
    studio.case = "nest/other"
    studio.record(training())
    done = verify()
    assert done.out.splitlines()[-1] == "2 goldens verified"
    assert (done.status, len(done.out.splitlines())) == (0, 3)


def rewrite(golden: Path, change: Callable[[dict], None]) -> None:
    manifest = read_manifest(golden)
    del manifest["digest"], manifest["schema"]
    change(manifest)
    (golden / "golden.json").write_bytes(render_manifest(manifest))


def flipped(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a bit of a tensor": (
        lambda path: flipped(path / "step_0/gradients.safetensors", -1),
        "is damaged: the digest of its",
    ),
    "a bit of a header": (lambda path: flipped(path / "step_0/loss.safetensors", 20), "the header of"),
    "a missing file": (
        lambda path: (path / "step_1/outputs.safetensors").unlink(),
        "is missing, and the manifest names it",
    ),
    "a file cut short": (
        lambda path: (path / "weights.safetensors").write_bytes((path / "weights.safetensors").read_bytes()[:-4]),
        "is truncated",
    ),
    "a stray file": (
        lambda path: shutil.copy(path / "step_0/loss.safetensors", path / "step_0/loss.1.safetensors"),
        "is not one of the golden's files",
    ),
    "a missing step": (
        lambda path: rewrite(path, lambda content: content["files"].pop("step_1/loss.safetensors")),
        "has 0 of kind loss, and its manifest says 1",
    ),
    "a bit of the floors": (lambda path: flipped(path / "noise.safetensors", -1), "noise.safetensors is damaged"),
    "no floors": (lambda path: (path / "noise.safetensors").unlink(), "noise.safetensors cannot be read"),
    "the manifest": (lambda path: flipped(path / "golden.json", 30), "golden.json"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_what_is_wrong_is_named(golden: Path, verify, what: str):
    damage, message = DAMAGE[what]
    damage(golden)
    done = verify()
    assert done.status == 1
    assert done.err == ""
    assert message in done.out
    assert done.out.splitlines()[-1] == "1 golden verified, 1 bad"


def test_all_that_is_wrong_is_named(golden: Path, verify):
    for what in ("a bit of a tensor", "a missing file", "a stray file", "a bit of the floors"):
        DAMAGE[what][0](golden)
    done = verify("--json")
    (one,) = json.loads(done.out)["goldens"].values()
    assert (done.status, len(one["problems"])) == (1, 4)


def test_what_someone_put_beside_it_is_fine(golden: Path, verify):
    (golden / "README.md").write_text("ours")
    (golden / "notes").mkdir()
    (golden / "notes/other.safetensors").write_text("theirs")
    assert verify().status == 0


def test_a_case_alone(golden: Path, parity_command: Command):
    assert parity_command("verify", golden).out.splitlines()[-1] == "1 golden verified"


def test_a_path_without_goldens_is_trouble(tmp_path: Path, parity_command: Command):
    done = parity_command("verify", tmp_path / "nowhere")
    assert (done.status, "there is no golden at or below" in done.err) == (2, True)


def test_nothing_is_verified_where_one_of_the_paths_is_wrong(golden: Path, parity_command: Command):
    done = parity_command("verify", golden, golden.parent / "nowhere")
    assert (done.status, done.out) == (2, "")


def test_a_golden_is_verified_once_however_often_it_is_given(golden: Path, parity_command: Command):
    done = parity_command("verify", golden, golden.parent, golden)
    assert done.out.splitlines()[-1] == "1 golden verified"
    assert len(done.out.splitlines()) == 2


def test_a_golden_whose_manifest_is_gone_is_seen(studio: Studio, golden: Path, verify):
    studio.case = "other"
    studio.record(training())
    (golden / "golden.json").unlink()
    done = verify()
    assert done.status == 1
    assert "is no golden: it has no golden.json" in done.out
    assert done.out.splitlines()[-1] == "2 goldens verified, 1 bad"


def test_checkpoints_beside_goldens_are_fine(golden: Path, verify):
    for name in ("weights", "optimizer", "model"):
        path = golden.parent / "checkpoints/step_100" / f"{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert verify().status == 0
