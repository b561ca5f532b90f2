"""The rows of a model's modules, as the document has them: the reference's tree, with what was found at each."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_parity.report.model import ModuleRow
from pytest_parity.report.site_rows import Owners
from pytest_parity.result import Comparison, Delta, Fault, Part, Traced, Verdict
from pytest_parity.site import ROOT, Kind, Site

__all__ = ["module_rows"]

_WORST = (
    Verdict.EQUAL,
    Verdict.CLOSE,
    Verdict.BELOW_NOISE,
    Verdict.UNOBSERVABLE,
    Verdict.VACUOUS,
    Verdict.EMPTY,
    Verdict.DIFFERS,
    Verdict.NONFINITE,
    Verdict.DTYPE,
    Verdict.SHAPE,
    Verdict.EXTRA,
    Verdict.MISSING,
)
"""From the best to the worst."""
_OF_A_MODULE = frozenset(
    {
        Fault.PROBE,
        Fault.MODULE,
        Fault.BETWEEN,
        Fault.NOT_CALLED,
        Fault.BACKWARD,
        Fault.NO_GRADIENT,
        Fault.CUT,
    }
)
"""Whose name is a module's; others name the loop, the optimizer, a value, a field of the batch or a weight."""
_NO_MODULE = frozenset({Part.VALUE, Part.UPDATE})
_RANK = {verdict: rank for rank, verdict in enumerate(_WORST)}


@dataclass
class _Module:
    """What is gathered of one module."""

    first: float = math.inf
    """The order of its first call."""
    calls: set[int] = field(default_factory=set)
    sites: int = 0
    failing: int = 0
    worst: Verdict | None = None
    inherited: list[float] = field(default_factory=list)
    introduced: list[float] = field(default_factory=list)
    outgoing: list[float] = field(default_factory=list)
    parameters: int = 0


def module_rows(
    comparison: Comparison | None, traced: Sequence[Traced], structure: Mapping[str, Any], owners: Owners
) -> list[ModuleRow]:
    """A row for each module; ``structure`` is the manifest's, and what is known where it is empty are the sites' paths."""
    types: Mapping[str, str] = structure.get("modules", {})
    found: dict[str, _Module] = {path: _Module() for path in types}
    for one in traced:
        _take(found, one.delta, owners)
    for name, tensor in structure.get("parameters", {}).items():
        _of(found, owners.of(name)).parameters += math.prod(tensor["shape"])
    faulty = _isolated(found, comparison)
    names = comparison.trace.names if comparison and comparison.trace else {}
    return [_row(path, module, types, names, faulty) for path, module in _as_tree(found)]


def _take(found: dict[str, _Module], delta: Delta, owners: Owners) -> None:
    site = Site.parse(delta.site)
    path = owners(site)
    if not path:
        return
    module = _of(found, path)
    module.sites += 1
    module.failing += delta.verdict.fails
    module.worst = delta.verdict if module.worst is None else max(module.worst, delta.verdict, key=_RANK.__getitem__)
    if site.kind not in {Kind.INPUT, Kind.ACTIVATION}:
        return
    module.calls.add(site.call or 0)
    if delta.order >= 0:
        module.first = min(module.first, delta.order)
    error = _error(delta)
    if error is not None:
        (module.inherited if site.kind is Kind.INPUT else module.outgoing).append(error)


def _error(delta: Delta) -> float | None:
    """In multiples of the noise floor; ``None`` where that is not known."""
    if delta.verdict is Verdict.EQUAL:
        return 0.0
    if delta.noise is not None:
        return delta.noise.ratio
    return math.inf if delta.verdict.fails and delta.metrics is None else None


def _isolated(found: dict[str, _Module], comparison: Comparison | None) -> frozenset[str]:
    """Add what isolation has measured; returns the modules at fault."""
    if comparison is None:
        return frozenset()
    isolation, diagnosis = comparison.isolation, comparison.diagnosis
    faulty = [one for one in isolation.faulty if one.part not in _NO_MODULE] if isolation else []
    for error in isolation.errors if isolation else ():
        if error.introduced is not None and error.reference in found:
            found[error.reference].introduced.append(error.introduced)
    for one in faulty:
        if one.reference in found:
            found[one.reference].introduced.append(one.floors)
    if isolation and isolation.faulty:
        return frozenset(one.reference for one in faulty)
    if diagnosis is None or diagnosis.fault not in _OF_A_MODULE:
        return frozenset()
    return frozenset({diagnosis.reference or diagnosis.module})


def _of(found: dict[str, _Module], path: str) -> _Module:
    return found.setdefault(path, _Module())


def _as_tree(found: dict[str, _Module]) -> Iterator[tuple[str, _Module]]:
    """Parents, known or not, before their children, children in the order of their first calls."""
    for path in list(found):
        for parent in _ancestors(path):
            _of(found, parent)
    children: dict[str, list[str]] = defaultdict(list)
    first = {path: module.first for path, module in found.items()}
    for path in sorted(found, key=lambda path: path.count("."), reverse=True):
        above = next(_ancestors(path), None)
        if above is not None:
            children[above].append(path)
            first[above] = min(first[above], first[path])
    stack = [path for path in (ROOT,) if path in found]
    while stack:
        path = stack.pop()
        yield path, found[path]
        stack += sorted(children[path], key=lambda child: (first[child], _natural(child)), reverse=True)


def _ancestors(path: str) -> Iterator[str]:
    while path != ROOT:
        path = path.rpartition(".")[0] or ROOT
        yield path


def _natural(path: str) -> list[tuple[int, str]]:
    """``layers.2`` before ``layers.10``."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", path)]


def _row(
    path: str, module: _Module, types: Mapping[str, str], names: Mapping[str, str], faulty: frozenset[str]
) -> ModuleRow:
    return ModuleRow(
        path=path,
        candidate=names.get(path, path),
        type=types.get(path, ""),
        parameters=module.parameters,
        calls=len(module.calls),
        sites=module.sites,
        failing=module.failing,
        verdict=module.worst.value if module.worst else "",
        inherited=_worst(module.inherited),
        introduced=_worst(module.introduced),
        outgoing=_worst(module.outgoing),
        faulty=path in faulty,
    )


def _worst(errors: Iterable[float]) -> float | None:
    return max(errors, default=None)
