"""What is installed: the packages that pytest-parity needs or can use, and whether pytest loads its plugin here."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, entry_points, requires, version

__all__ = ["Package", "packages", "plugin_problem"]

_OURS = "pytest-parity"
_NEEDED = ("torch", "numpy", "pytest", "safetensors", "xxhash")
_OPTIONAL = {
    "pytorch-lightning": "callbacks for its Trainer",
    "lightning": "callbacks for its Trainer",
    "omegaconf": "configurations: --parity-set, references in YAML",
    "hypothesis": "inputs that are searched for, in tests of pairs",
    "pytest-xdist": "pytest -n",
    "shtab": "shell completion",
    "nemo-toolkit": "the reference of examples/nest",
}
_PATIENCE = 120
"""Seconds that pytest may take to say what its options are."""


@dataclass(frozen=True, slots=True)
class Package:
    """A package: its version, empty where it is not installed; what it is for; and what is wrong, with what to type."""

    name: str
    version: str
    purpose: str
    problem: str


def packages() -> Iterator[Package]:
    """Those that are needed, then those that are of use where they are installed."""
    for name in _NEEDED:
        yield Package(name, found := _version(name), "", _problem(name, found, needed=True))
    for name, purpose in _OPTIONAL.items():
        yield Package(name, found := _version(name), purpose, _problem(name, found, needed=False))


def plugin_problem() -> str:
    """Why pytest, started here, would not load the plugin, and what to type; empty where it would."""
    if not any(one.value == "pytest_parity.plugin" for one in entry_points(group="pytest11")):
        return "pytest does not know it, for the package is not installed: pip install pytest-parity"
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "--help"],
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE,
        )
    except subprocess.TimeoutExpired:
        return f"pytest --help has not answered in {_PATIENCE} s; a conftest.py here may hang"
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "it says nothing").splitlines()
        return f"pytest does not start here (exit status {done.returncode}): {said[-1]}"
    return "" if "--parity-ref" in done.stdout else _why_off()


def _why_off() -> str:
    if "no:parity" in os.environ.get("PYTEST_ADDOPTS", ""):
        return "the environment's PYTEST_ADDOPTS has -p no:parity: unset PYTEST_ADDOPTS"
    if os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD"):
        return "PYTEST_DISABLE_PLUGIN_AUTOLOAD is set: unset it, or pytest -p pytest_parity.plugin"
    return "something turns it off here: remove '-p no:parity' or '--disable-plugin-autoload' from pytest's addopts"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _problem(name: str, found: str, *, needed: bool) -> str:
    wanted, extra = _wanted(name)
    if not found:
        return f"{name} is not installed: pip install '{name}{wanted}'" if needed else ""
    if not wanted or _fits(found, wanted):
        return ""
    typed = f"{_OURS}[{extra}]" if extra else f"{name}{wanted}"
    return f"{name} {found} is installed, and {wanted} is needed: pip install '{typed}'"


def _wanted(name: str) -> tuple[str, str]:
    """The versions that our own metadata asks for, as ``>=2.4``, and the extra that brings it; empty where it has none."""
    try:
        from packaging.requirements import Requirement  # noqa: PLC0415  comes with pytest

        lines = requires(_OURS) or []
    except (ImportError, PackageNotFoundError):
        return "", ""
    for requirement in map(Requirement, lines):
        if requirement.name == name:
            marker = str(requirement.marker or "")
            return str(requirement.specifier), marker.partition('extra == "')[2].partition('"')[0]
    return "", ""


def _fits(found: str, wanted: str) -> bool:
    from packaging.specifiers import SpecifierSet  # noqa: PLC0415

    return SpecifierSet(wanted).contains(found, prereleases=True)
