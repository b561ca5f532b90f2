"""Imported: the output of the saver that came before goldens, read without running anything, as a golden."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from pytest_parity.capture import leaves, pack
from pytest_parity.contract.wrappers import stored_names
from pytest_parity.errors import UsageError
from pytest_parity.golden.writer import GoldenWriter
from pytest_parity.report.imported import Imported, Refused
from pytest_parity.report.words import listed
from pytest_parity.session.run import LOADER
from pytest_parity.session.unsafe import load_tensors
from pytest_parity.session.values import is_leaf, tensors
from pytest_parity.site import Kind, Site

__all__ = ["import_saved"]

_STEP = re.compile(r"step_(\d+)")
_PICKLE = "a pickle runs whatever code it holds when it is read"
_UNKNOWN = "the old saver wrote no such file"
_SKIPPED = "left out, as --skip asks"
_INPUTS = frozenset({"input", "inputs", "forward_input", "forward_inputs"})
_OUTPUTS = frozenset({"output", "outputs", "forward_output", "forward_outputs"})

_Values = Iterator[tuple[Site, "torch.Tensor | None"]]


def import_saved(directory: Path, root: Path, case: str, *, skip: Collection[str] = ()) -> Imported:
    """Make a golden of what lies in ``directory``: ``step_<N>/batch.pt``, ``loss.pt``, ``parameter_gradients.pt``, ...

    Tensors are read with ``weights_only=True``; pickles are not read, and neither are files named in ``skip``: the
    result names them. Raises ``UsageError`` where there is nothing to import or a file holds more than tensors, and
    ``GoldenError`` where the golden cannot be written.
    """
    steps = _steps(directory)
    unknown = sorted(set(skip) - {path.name for folder in steps.values() for path in folder.iterdir()})
    if unknown:
        raise UsageError(f"--skip {unknown[0]}: no step in {directory} has such a file")
    writer = GoldenWriter(root, case)
    saved = _Saved(writer, skip)
    try:
        for step, folder in steps.items():
            saved.take(step, folder)
        refused = (*_beside(directory), *saved.refused())
        path = writer.commit(
            provenance={
                "imported from": "an output saver's files",
                "files read": sorted(saved.read),
                "files not read": sorted({one.name for one in refused}),
            },
            settings={"imported": True, "rng": "off", "kinds": [kind.value for kind in Kind if kind in saved.kinds]},
            structure={},
            history=[],
        )
    finally:
        writer.discard()
    nbytes = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return Imported(case, str(path), saved.sites, nbytes, refused)


def _steps(directory: Path) -> dict[int, Path]:
    if not directory.is_dir():
        raise UsageError(f"{directory} is no directory; give the one that holds step_0, step_1, ...")
    found: dict[int, Path] = {}
    for path in sorted(directory.iterdir()):
        if match := _STEP.fullmatch(path.name):
            other = found.setdefault(int(match[1]), path)
            if other != path:
                raise UsageError(f"{other} and {path} are both step {int(match[1])}; leave one of them there")
    if found:
        return dict(sorted(found.items()))
    if _STEP.fullmatch(directory.resolve().name):
        raise UsageError(f"{directory} is one step; give the directory that holds it: {directory.resolve().parent}")
    there = sorted(path.name for path in directory.iterdir())
    raise UsageError(
        f"{directory} holds no step_<N>, and so is not what an output saver left; it holds {listed(there, 8) or 'nothing'}"
    )


def _beside(directory: Path) -> Iterator[Refused]:
    for path in sorted(directory.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            yield Refused(path.name, (), _why(path))


def _why(path: Path) -> str:
    return _PICKLE if path.suffix in {".pkl", ".pickle"} else _UNKNOWN


class _Saved:
    """Step after step, written as it is read."""

    def __init__(self, writer: GoldenWriter, skip: Collection[str]) -> None:
        self._writer = writer
        self._skip = skip
        self._refused: dict[tuple[str, str], list[int]] = {}
        self.sites: dict[int, dict[str, int]] = {}
        self.kinds: set[Kind] = set()
        self.read: set[str] = set()

    def refused(self) -> Iterator[Refused]:
        """What was not read, by name."""
        for (name, reason), steps in sorted(self._refused.items()):
            yield Refused(name, tuple(steps), reason)

    def take(self, step: int, folder: Path) -> None:
        """Import one step."""
        for path in sorted(folder.iterdir()):
            reason = _SKIPPED if path.name in self._skip else "" if path.name in _FILES else _why(path)
            if reason and not path.name.startswith("."):
                self._refused.setdefault((path.name, reason), []).append(step)
        info: dict[str, Any] = {}
        counts: dict[str, int] = {}
        sizes: dict[str, list[int]] = {}
        for name, read in _FILES.items():
            path = folder / name
            if path.is_file() and name not in self._skip:
                self.read.add(name)
                for site, value in read(load_tensors(path), path, info):
                    self._writer.write(step, sum(counts.values()), site, value)
                    self.kinds.add(site.kind)
                    kind = site.kind.value
                    counts[kind] = counts.get(kind, 0) + 1
                    size = sizes.setdefault(kind, [0, 0])
                    size[0] += 1
                    size[1] += 0 if value is None else value.nbytes
        if not counts:
            there = listed(sorted(path.name for path in folder.iterdir()), 8)
            raise UsageError(
                f"{folder} has nothing to import: it holds {there or 'nothing'}, and what is read is {', '.join(_FILES)}"
            )
        self.sites[step] = counts
        self._writer.finish_step(step, {**info, "sizes": sizes})


def _batch(value: Any, path: Path, info: dict[str, Any]) -> _Values:
    info["batch"], found = pack(value, str(path))
    yield from ((Site(Kind.BATCH, LOADER, leaf=leaf), tensor) for leaf, tensor in found)


def _outputs(value: Any, path: Path, _info: dict[str, Any]) -> _Values:
    yield from _leaves(Site(Kind.OUTPUT, "outputs"), value, path)


def _loss(value: Any, path: Path, info: dict[str, Any]) -> _Values:
    if isinstance(value, Mapping) and list(value) == ["loss"]:
        value = value["loss"]
    if isinstance(value, float):
        value = _of_item(value)
    for site, tensor in _leaves(Site(Kind.LOSS, "loss"), value, path):
        if tensor is not None and tensor.numel() == 1 and not tensor.is_complex():
            info.setdefault("loss", {})[site.leaf or site.path] = tensor.item()
        yield site, tensor


def _of_item(value: float) -> torch.Tensor:
    """A loss's ``item()`` as the tensor that it was, as far as it tells: float32 where that has the value, bit for bit."""
    narrow = torch.tensor(value, dtype=torch.float32, device="cpu")
    exact = narrow.isnan() or narrow.item() == value
    return narrow if exact else torch.tensor(value, dtype=torch.float64, device="cpu")


def _leaves(site: Site, value: Any, path: Path) -> _Values:
    for leaf, tensor in leaves(tensors(value, str(path)), "out"):
        yield Site(site.kind, site.path, leaf="" if is_leaf(value) else leaf), tensor


def _parameters(kind: Kind) -> Callable[[Any, Path, dict[str, Any]], _Values]:
    def read(value: Any, path: Path, _info: dict[str, Any]) -> _Values:
        held = _by_name(value, path)
        for stored, name in stored_names(held).items():
            tensor = held[stored]
            if tensor is not None and not isinstance(tensor, torch.Tensor):
                raise UsageError(f"{path}: {stored!r} is a {type(tensor).__name__}, and a tensor or None is needed")
            yield Site(kind, name), None if tensor is None else tensor.detach()

    return read


def _layers(value: Any, path: Path, _info: dict[str, Any]) -> _Values:
    """By a layer's name its output, or a table with its inputs and its outputs."""
    held = _by_name(value, path)
    for stored, name in stored_names(held).items():
        layer = held[stored]
        told = isinstance(layer, Mapping) and bool(set(layer) & (_INPUTS | _OUTPUTS))
        for part, inside in (layer if told else {"output": layer}).items():
            yield from _part(name, part, inside, f"{path}: {stored!r}")


def _part(name: str, part: object, value: Any, where: str) -> _Values:
    """One of a layer's two values, by the names that a module's own observations have."""
    if part in _INPUTS:
        found = leaves(tensors([value] if is_leaf(value) else value, where), "in")
        yield from ((Site(Kind.INPUT, name, 0, leaf), tensor) for leaf, tensor in found)
    elif part in _OUTPUTS:
        found = leaves(tensors(value, where), "out")
        single = is_leaf(value)
        yield from ((Site(Kind.ACTIVATION, name, 0, "" if single else leaf), tensor) for leaf, tensor in found)
    else:
        raise UsageError(f"{where} holds {part!r}; inputs and outputs of layers are read, nothing else")


def _by_name(value: Any, path: Path) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise UsageError(f"{path} holds a {type(value).__name__}, and a table from names to tensors is needed")
    return value


_FILES: dict[str, Callable[[Any, Path, dict[str, Any]], _Values]] = {
    "batch.pt": _batch,
    "layer_outputs.pt": _layers,
    "hook_data.pt": _layers,
    "forward_output.pt": _outputs,
    "loss.pt": _loss,
    "parameter_gradients.pt": _parameters(Kind.GRADIENT),
    "parameter_weights.pt": _parameters(Kind.UPDATED_WEIGHT),
}
"""What is read, in causal order."""
