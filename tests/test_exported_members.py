"""The one public door: what ``pytest_parity`` exports is there, sorted, and public."""

from __future__ import annotations

import subprocess
import sys

import pytest

import pytest_parity


def test_the_list_is_sorted_and_says_each_name_once():
    assert pytest_parity.__all__ == sorted(set(pytest_parity.__all__))


@pytest.mark.parametrize("name", pytest_parity.__all__)
def test_each_name_is_there(name: str):
    assert not name.startswith("_")
    assert getattr(pytest_parity, name).__doc__


def test_another_name_is_not_there():
    with pytest.raises(AttributeError, match="'pytest_parity' has no attribute 'golded'"):
        _ = pytest_parity.golded


def test_every_error_is_exported():
    errors = {name for name in vars(pytest_parity.errors) if isinstance(getattr(pytest_parity.errors, name), type)}
    assert errors <= set(pytest_parity.__all__)


@pytest.mark.parametrize(
    ("statement", "torch"), [("import pytest_parity", "False"), ("from pytest_parity import Golden", "True")]
)
def test_the_door_itself_imports_no_torch(statement: str, torch: str):
    source = f"import sys; {statement}; print('torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", source], check=True, capture_output=True, text=True).stdout.strip()
        == torch
    )
