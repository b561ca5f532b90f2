from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from outside import Outside
from running import PARITY, PLAIN, TRAIN, Place, env


@pytest.fixture(autouse=True)
def _nobody_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("CI", "PARITY_REF", "PARITY_SCRIPT", "PARITY_OUTCOMES", "RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Outside:
    """A script's training in this process."""
    return Outside(tmp_path, monkeypatch)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Place:
    """A directory with a script."""
    return Place(tmp_path, monkeypatch, capfdbinary)


@pytest.fixture(scope="session")
def golden_of_a_script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden of the script, which no test changes."""
    path = tmp_path_factory.mktemp("script")
    (path / "train.py").write_text(TRAIN, encoding="utf-8")
    command = [*PARITY, "record", "--case", "nest/tiny", "--", *PLAIN]
    subprocess.run(command, cwd=path, env=env({}), check=True, capture_output=True)
    return path / "golden"


@pytest.fixture
def recorded(golden_of_a_script: Path, place: Place) -> Place:
    """A directory with a script and its golden."""
    shutil.copytree(golden_of_a_script, place.path / "golden")
    return place
