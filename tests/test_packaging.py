"""What a wheel holds."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from hatchling import build
from readme import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    before = Path.cwd()
    directory = tmp_path_factory.mktemp("wheel")
    os.chdir(ROOT)
    try:
        name = build.build_wheel(str(directory))
    finally:
        os.chdir(before)
    with zipfile.ZipFile(directory / name) as opened:
        yield opened


def test_it_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile):
    assert {name.partition("/")[0] for name in wheel.namelist()} == {"pytest_parity", "pytest_parity-0.1.0.dist-info"}
    files = [path for path in (ROOT / "pytest_parity").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    sources = {str(path.relative_to(ROOT)) for path in files}
    assert {"pytest_parity/py.typed", "pytest_parity/report/html/assets/app.js"} < sources
    assert sources == {name for name in wheel.namelist() if name.startswith("pytest_parity/")}


def test_pytest_finds_the_plugin(wheel: zipfile.ZipFile):
    declared = wheel.read("pytest_parity-0.1.0.dist-info/entry_points.txt").decode()
    assert declared.split() == [
        *("[console_scripts]", "parity", "=", "pytest_parity.cli:main"),
        *("[lightning.pytorch.callbacks_factory]", "parity", "=", "pytest_parity.lightning:from_environment"),
        *("[pytest11]", "parity", "=", "pytest_parity.plugin"),
        *("[pytorch_lightning.callbacks_factory]", "parity", "=", "pytest_parity.lightning:from_environment"),
    ]
    (installed,) = entry_points(group="pytest11", name="parity")
    assert installed.value == "pytest_parity.plugin"


def test_it_says_what_it_is(wheel: zipfile.ZipFile):
    metadata = wheel.read("pytest_parity-0.1.0.dist-info/METADATA").decode()
    for line in ("License-Expression: Apache-2.0", "License-File: LICENSE", "Requires-Python: >=3.10"):
        assert line in metadata
    for line in ("Requires-Dist: pytest>=8.2", "Requires-Dist: torch>=2.4"):
        assert line in metadata
    assert "# pytest-parity" in metadata
