"""Two models' structures compared whole: tensor by tensor, module by module, subtree by subtree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from pytest_parity.contract.agreement import Names, compare_structures, counterparts, unmatched_modules
from pytest_parity.contract.constants import CLASS, class_differences, constant_differences
from pytest_parity.contract.explain import Share, explained
from pytest_parity.contract.tensors import Structure, TensorInfo
from pytest_parity.contract.totals import counted, subtrees
from pytest_parity.result import Delta, Difference
from pytest_parity.site import ROOT, Site

__all__ = ["Counts", "ModelSide", "StructureComparison", "Subtree", "TensorCompared", "compare_models"]


@dataclass(frozen=True, slots=True)
class ModelSide:
    """One of the two models, by the name that the user gave it."""

    name: str
    structure: Structure
    tensors_alone: bool = False
    """It is a file of tensors, which tells neither what trains, nor what is a buffer, nor modules without tensors."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Counts:
    """How much there is of a model; tied tensors and memory that several share count once."""

    parameters: int
    trainable: int | None
    """Of the parameters' elements; ``None`` where nobody knows."""
    buffers: int
    tensors: int
    tied: int
    """Further names of tensors that have one already."""
    modules: int


@dataclass(frozen=True, slots=True)
class TensorCompared:
    """A tensor of the reference, or one that the candidate has alone, which goes by where it would land."""

    name: str
    candidate: str
    """The candidate's own name, several joined by a plus sign; empty where it has none."""
    expected: TensorInfo | None
    actual: TensorInfo | None
    buffer: bool
    verdict: str
    """``same``, ``missing``, ``extra``, ``shape``, ``dtype``, ``differs``."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Subtree:
    """The parameters below a module, by the reference's names; of a list of modules that are alike, below each of them."""

    path: str
    """``*`` stands for a number of a list of modules that are alike."""
    depth: int
    """0 is the whole model."""
    reference: int
    candidate: int
    places: tuple[int, ...] = ()
    """The numbers that the path's last ``*`` stands for, where it ends with one."""


@dataclass(frozen=True, slots=True)
class StructureComparison:
    """All that was found; nothing is left out here."""

    reference: str
    candidate: str
    counts: tuple[Counts, Counts]
    tensors: tuple[TensorCompared, ...]
    shares: tuple[Share, ...]
    """What explains the difference of the counts."""
    subtrees: tuple[Subtree, ...]
    modules_missing: tuple[str, ...]
    modules_extra: tuple[str, ...]
    constants: tuple[Difference, ...]
    """What modules of one class on both sides are set to differently, and classes of torch's own that are two."""
    tied: tuple[Mapping[str, str], Mapping[str, str]]
    """Of either side each further name of a tensor, with the first."""
    notes: tuple[str, ...] = ()
    classes: tuple[Difference, ...] = ()
    """Modules that are each other's counterparts, and of two classes that are not both torch's own: fails nothing."""

    @property
    def problems(self) -> tuple[TensorCompared, ...]:
        """The tensors that are not the same."""
        return tuple(one for one in self.tensors if one.verdict != "same")

    @property
    def difference(self) -> int:
        """Parameters of the candidate less those of the reference."""
        return self.counts[1].parameters - self.counts[0].parameters

    @property
    def unexplained(self) -> int:
        """What is left of the difference when all shares are taken from it."""
        return self.difference - sum(share.change for share in self.shares)

    @property
    def passed(self) -> bool:
        """Whether there is something, and all tensors and constants agree. Modules without tensors are listed alone."""
        return bool(self.tensors) and not (self.problems or self.constants or self.unexplained)


def compare_models(reference: ModelSide, candidate: ModelSide, names: Names, *, depth: int = 3) -> StructureComparison:
    """Compare two models; ``depth`` is how far down subtrees are listed."""
    theirs, ours = _told(reference, candidate, names)
    deltas = {Site.parse(delta.site).path: delta for delta in compare_structures(theirs, ours, names)}
    reached = {*theirs.modules}
    quiet = reference.tensors_alone or candidate.tensors_alone
    constants = _constants(theirs, ours, names)
    return StructureComparison(
        reference.name,
        candidate.name,
        (_counts(theirs, known=not reference.tensors_alone), _counts(ours, known=not candidate.tensors_alone)),
        tuple(_tensors(theirs, ours, names, deltas)),
        explained(theirs, ours, names),
        _subtrees(theirs, ours, names, depth),
        () if quiet else unmatched_modules(theirs, ours, names),
        () if quiet else tuple(path for path in ours.modules if names.path(path) not in reached),
        constants,
        (theirs.tensor_aliases, ours.tensor_aliases),
        (
            *_prefixed(theirs, ours, names),
            *(f"{side.name} {note}" for side in (reference, candidate) for note in _notes(side)),
        ),
        tuple(one for one in class_differences(theirs, ours, names) if one not in constants),
    )


def _notes(side: ModelSide) -> tuple[str, ...]:
    told = "is tensors alone: what trains, what is a buffer and modules without tensors are not compared"
    return (*side.notes, *([told] if side.tensors_alone else []))


def _prefixed(theirs: Structure, ours: Structure, names: Names) -> Iterator[str]:
    """What to type where no tensor is paired, and one side is the other with a module around it."""
    if not ours.tensors or any(names.path(path) in theirs.tensors for path in ours.tensors):
        return
    for whose, around, within in (("candidate", ours, theirs), ("reference", theirs, ours)):
        first = {path.partition(".")[0] for path in around.tensors}
        if len(first) == 1 and {path.partition(".")[2] for path in around.tensors} & within.tensors.keys():
            (name,) = first
            rule = f'"{name}" = "(model)"' if whose == "candidate" else f'"{{i}}" = "{name}.{{i}}"'
            yield f"every name of the {whose} begins with {name}; --names takes a file with [names] and the line {rule}"


def _told(reference: ModelSide, candidate: ModelSide, names: Names) -> tuple[Structure, Structure]:
    """Both structures; what a file does not tell of its tensors is taken from its counterpart."""
    theirs, ours = reference.structure, candidate.structure
    if candidate.tensors_alone and not reference.tensors_alone:
        ours = _sorted(ours, {path: _counterpart(names, path, theirs) for path in ours.tensors}, theirs)
    elif reference.tensors_alone and not candidate.tensors_alone:
        own = {path: next(iter(found)) for path, found in counterparts(ours, names).items()}
        theirs = _sorted(theirs, own, ours)
    return theirs, ours


def _counterpart(names: Names, path: str, reference: Structure) -> str:
    parts = names.parts(path)
    found = next(iter(parts)) if parts else names.path(path)
    return reference.tensor_aliases.get(found, found)


def _sorted(stored: Structure, counterpart: Mapping[str, str], other: Structure) -> Structure:
    """A stored model's tensors as the parameters and buffers that their counterparts are."""
    parameters: dict[str, TensorInfo] = {}
    buffers: dict[str, TensorInfo] = {}
    for path, info in stored.tensors.items():
        twin = other.tensors.get(counterpart.get(path, ""))
        is_buffer = path in stored.buffers if twin is None else counterpart[path] in other.buffers
        trainable = info.trainable if twin is None else twin.trainable
        (buffers if is_buffer else parameters)[path] = replace(info, trainable=trainable)
    return Structure(parameters, buffers, stored.modules, stored.constants)


def _counts(structure: Structure, *, known: bool) -> Counts:
    return Counts(
        structure.count,
        structure.trainable_count if known else None,
        sum(info.elements for info in structure.buffers.values()),
        len(structure.tensors),
        len(structure.tensor_aliases),
        len(structure.modules),
    )


def _tensors(theirs: Structure, ours: Structure, names: Names, deltas: Mapping[str, Delta]) -> list[TensorCompared]:
    own = counterparts(ours, names)
    tied = {names.path(alias): path for alias, path in ours.tensor_aliases.items()}
    rows = []
    for path, info in theirs.tensors.items():
        found = own.get(path, {})
        delta = deltas.get(path)
        name = " + ".join(found) or tied.get(path, "")
        actual = next(iter(found.values()), ours.tensors.get(tied.get(path, "")))
        verdict, detail = ("same", "") if delta is None else (str(delta.verdict), delta.detail)
        rows.append(TensorCompared(path, name, info, actual, path in theirs.buffers, verdict, detail))
    for path, delta in deltas.items():
        if path not in theirs.tensors:
            name = Site.parse(delta.candidate).path if delta.candidate else path
            info = ours.tensors[name]
            rows.append(TensorCompared(path, name, None, info, name in ours.buffers, str(delta.verdict), delta.detail))
    return rows


def _constants(theirs: Structure, ours: Structure, names: Names) -> tuple[Difference, ...]:
    """Classes, and what modules of one class are set to; one of another name may mean another thing by the same word."""
    found = constant_differences(theirs, ours, names)
    return tuple(
        one
        for one in found
        if one.name == CLASS
        or (one.name != "training" and ours.modules.get(one.where) == theirs.modules.get(names.path(one.where)))
    )


def _subtrees(theirs: Structure, ours: Structure, names: Names, depth: int) -> tuple[Subtree, ...]:
    before = subtrees({path: info.elements for path, info in theirs.parameters.items()})
    after = subtrees(counted(ours, names))
    below: dict[str, list[str]] = {}
    for path in dict.fromkeys([*before, *after]):
        if path != ROOT:
            below.setdefault(path.rpartition(".")[0] or ROOT, []).append(path)

    def walk(path: str, shown: str, at: int) -> Iterator[Subtree]:
        """What is below a module; of modules of a list that are alike the first stands for all."""
        alike: dict[tuple[object, ...], list[str]] = {}
        for child in below.get(path, []):
            last = child.rpartition(".")[2]
            alike.setdefault((before[child], after[child]) if last.isdigit() else (child,), []).append(child)
        for found in alike.values():
            places = tuple(sorted(int(one.rpartition(".")[2]) for one in found)) if len(found) > 1 else ()
            last = "*" if places else found[0].rpartition(".")[2]
            name = f"{shown}.{last}" if shown else last
            yield Subtree(name, at, before[found[0]], after[found[0]], places)
            if at < depth:
                yield from walk(found[0], name, at + 1)

    whole = Subtree(ROOT, 0, before[ROOT], after[ROOT])
    return (whole, *(walk(ROOT, "", 1) if depth else ()))
