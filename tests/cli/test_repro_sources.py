"""What is copied of a project's source, so that a reproduction needs torch and no more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pytest_parity.session.reproducing.sources import Sources

LAYERS = """
from __future__ import annotations
import math
import numpy as np
import torch
from torch import nn
from typing import Any

from project.parts import Half, twice as doubled
from project import constants

FACTOR = math.pi
UNUSED = np.zeros(3)

def helper(x: np.ndarray) -> Any:
    return x * FACTOR

class Base(nn.Module):
    pass

@torch.no_grad
def other():
    return UNUSED

class Layer(Base):
    def forward(self, x: np.ndarray):
        return doubled(helper(x))
"""
PARTS = """
import pandas

def twice(x):
    return 2 * x

class Half:
    frame = pandas
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "project").mkdir(parents=True)
    (root / "project/__init__.py").write_text("from project.parts import twice\n")
    (root / "project/layers.py").write_text(LAYERS)
    (root / "project/parts.py").write_text(PARTS)
    (root / "project/constants.py").write_text("ONE = 1\n")
    return root


def copies(root: Path, *names: str, module: str = "project.layers") -> tuple[str, dict[str, str]]:
    sources = Sources([str(root)])
    obstacle = sources.add(module, str(root / f"{module.replace('.', '/')}.py"), list(names))
    return obstacle, {} if obstacle else sources.copies([module])


def test_what_a_class_uses_comes_along_and_nothing_else(project: Path, tmp_path: Path):
    obstacle, found = copies(project, "Layer")
    assert obstacle == ""
    assert sorted(found) == ["project.layers", "project.parts"]
    assert "numpy" not in found["project.layers"]
    assert "pandas" not in found["project.parts"]
    assert "from source_project_parts import twice as doubled" in found["project.layers"]
    for module, text in found.items():
        (tmp_path / f"source_{module.replace('.', '_')}.py").write_text(text)
    program = "from source_project_layers import Layer; print(Layer()(1.0))"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "6.283185307179586\n"


def test_another_library_stands_in_the_way_and_is_named(project: Path):
    assert copies(project, "other")[0] == "numpy"
    assert copies(project, "Half", module="project.parts")[0] == "pandas"


def test_also_where_it_is_another_file_that_needs_it(project: Path):
    (project / "project/layers.py").write_text("from project.parts import Half\nclass Layer(Half):\n    pass\n")
    assert copies(project, "Layer")[0] == "pandas"


def test_relative_imports_and_those_of_a_package(project: Path):
    (project / "project/layers.py").write_text(
        "from . import twice\nfrom .constants import ONE\ndef f():\n    return twice(ONE)\n"
    )
    obstacle, found = copies(project, "f")
    assert obstacle == ""
    assert sorted(found) == ["project", "project.constants", "project.layers", "project.parts"]


def test_a_module_that_is_imported_whole_is_not_followed(project: Path):
    (project / "project/layers.py").write_text("import project.constants\ndef f():\n    return project.constants.ONE\n")
    assert copies(project, "f")[0] == "project.constants"


def test_files_that_import_one_another_end(project: Path):
    (project / "project/layers.py").write_text("from project.parts import g\ndef f():\n    return g\n")
    (project / "project/parts.py").write_text("def g():\n    from project.layers import f\n    return f\n")
    assert copies(project, "f")[0] == "project.layers"
