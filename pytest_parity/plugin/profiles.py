"""Profiles: tolerances, determinism and precision under a name, as data; ``switches`` puts one into force."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_parity.compare.tolerance import Table
from pytest_parity.errors import UsageError
from pytest_parity.plugin.tables import checked_tolerances
from pytest_parity.plugin.text import nearest, quoted

__all__ = ["SHIPPED", "Profile", "read_profiles", "selected"]


@dataclass(frozen=True, slots=True)
class Profile:
    """One profile. A switch that it does not name stays as it is."""

    name: str
    tolerances: Table = field(default_factory=dict)
    allow_dtype: bool = False
    switches: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables of the process, set when pytest starts: torch reads some of them when it is imported."""


SHIPPED = {
    "cpu": Profile("cpu"),
    "cuda": Profile(
        "cuda",
        switches={
            "tf32_matmul": False,
            "tf32_convolutions": False,
            "cudnn_benchmark": False,
            "cudnn_deterministic": True,
        },
        environment={"CUBLAS_WORKSPACE_CONFIG": ":4096:8"},
    ),
    "mps": Profile("mps", environment={"PYTORCH_ENABLE_MPS_FALLBACK": "1"}),
}
"""None of them loosens a verdict, or changes a bit of what the CPU computes."""

_Check = Callable[[Any], bool]
_FLAG: tuple[_Check, str] = (lambda value: isinstance(value, bool), "true or false")
_PRECISIONS = ("highest", "high", "medium")
_SWITCHES: dict[str, tuple[_Check, str]] = {
    "deterministic_algorithms": (lambda value: isinstance(value, bool) or value == "warn", 'true, false or "warn"'),
    "float32_matmul_precision": (lambda value: value in _PRECISIONS, "one of: " + quoted(_PRECISIONS)),
    "tf32_matmul": _FLAG,
    "tf32_convolutions": _FLAG,
    "cudnn_deterministic": _FLAG,
    "cudnn_benchmark": _FLAG,
    "threads": (lambda value: type(value) is int and value > 0, "a whole number from 1 on"),
}
_KEYS = ("base", "tolerances", "allow_dtype", "environment", *_SWITCHES)


def read_profiles(tables: Any, origin: str) -> dict[str, Profile]:
    """The shipped profiles and the project's, which may take a shipped one's name; raises ``UsageError``."""
    if not isinstance(tables, Mapping):
        raise UsageError(f"{origin} is {tables!r}, not a table of profiles; write as in: [{_header('gpu')}]")
    for name, table in tables.items():
        _check(table, f"{origin}.{name}", name)
    return {name: _made(name, tables, origin, ()) for name in dict.fromkeys([*SHIPPED, *tables])}


def selected(name: str, profiles: Mapping[str, Profile], said: str) -> Profile:
    """The profile of a name that was ``said`` somewhere; raises ``UsageError`` where there is none."""
    if name not in profiles:
        raise UsageError(
            f"{said}: there is no profile {name!r}{nearest(name, profiles)}; there are: {quoted(profiles)}. More go into "
            f"pyproject.toml: [{_header(name)}]"
        )
    return profiles[name]


def _header(name: str) -> str:
    return f"tool.pytest_parity.profiles.{name}"


def _check(table: Any, where: str, name: str) -> None:
    if not isinstance(table, Mapping):
        raise UsageError(f"{where} is {table!r}, not a table; write as in: [{_header(name)}] threads = 1")
    for key, value in table.items():
        if key not in _KEYS:
            raise UsageError(f"{where} has no key {key!r}{nearest(key, _KEYS)}; it takes: {quoted(_KEYS)}")
        if key in _SWITCHES and not _SWITCHES[key][0](value):
            raise UsageError(f"{where}: {key} = {value!r} is not {_SWITCHES[key][1]}")
    if not isinstance(table.get("allow_dtype", False), bool):
        raise UsageError(f"{where}: allow_dtype = {table['allow_dtype']!r} is not true or false")
    variables = table.get("environment", {})
    if not isinstance(variables, Mapping) or not all(isinstance(value, str) for value in variables.values()):
        raise UsageError(
            f"{where}: environment = {variables!r} is not a table of texts; write as in: "
            'environment = {CUBLAS_WORKSPACE_CONFIG = ":4096:8"}'
        )
    checked_tolerances(table.get("tolerances", {}), origin=f"{where}.tolerances")


def _made(name: str, tables: Mapping[str, Any], origin: str, within: tuple[str, ...]) -> Profile:
    """A profile with what its base adds to it; under a shipped one's name, that name as a base is the shipped one."""
    if name not in tables:
        return SHIPPED[name]
    table, base = tables[name], Profile(name)
    named = table.get("base")
    if named is not None:
        if named in within or (named == name and name not in SHIPPED):
            raise UsageError(f"{origin}.{name}: its base leads back to it: {' -> '.join((*within, name, named))}")
        known = [other for other in dict.fromkeys([*SHIPPED, *tables]) if other != name]
        if named not in SHIPPED and named not in tables:
            raise UsageError(
                f"{origin}.{name}: there is no base {named!r}{nearest(str(named), known)}; {quoted(known)}"
            )
        base = SHIPPED[named] if named == name else _made(named, tables, origin, (*within, name))
    return Profile(
        name,
        tolerances={**base.tolerances, **table.get("tolerances", {})},
        allow_dtype=table.get("allow_dtype", base.allow_dtype),
        switches={**base.switches, **{key: table[key] for key in _SWITCHES if key in table}},
        environment={**base.environment, **table.get("environment", {})},
    )
