"""Described: a candidate's modules as plain data, left beside what fails, so that one can be built again alone.

``repro.json`` stands in what a failing check leaves, with ``repro.safetensors`` for the tensors that the golden does not
have as the candidate has them. ``parity repro`` reads both; see ``pytest_parity.session.reproducing``.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from pytest_parity.capture import Capture
from pytest_parity.capture.arguments import Arguments
from pytest_parity.capture.plainly import UnplainError, importable, plainly
from pytest_parity.golden.reader import Golden
from pytest_parity.names import BoundNames
from pytest_parity.result import Comparison, Delta
from pytest_parity.result.plain import plain_dict
from pytest_parity.session.beginning import Beginning
from pytest_parity.site import ROOT, Kind

__all__ = ["DESCRIPTION", "TENSORS", "imports", "leave_description"]

DESCRIPTION, TENSORS = "repro.json", "repro.safetensors"
_OWN = frozenset(vars(torch.nn.Module()))
"""What every module has; all but ``training`` is made anew."""
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_BOUNDED = frozenset({Kind.INPUT, Kind.ACTIVATION, Kind.GRADIENT, Kind.UPDATED_WEIGHT})


def leave_description(
    left: Path, golden: Golden, capture: Capture, found: Comparison, arguments: Mapping[tuple[str, int], Arguments]
) -> None:
    """Write the candidate's description into what a failing check has left at ``left``; raises ``OSError``.

    What a class of the user's own raises when it is looked at is written in the description's place.
    """
    if found.diagnosis is None or found.diagnosis.step not in golden.steps:
        return
    try:
        _leave(left, golden, capture, found, arguments)
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001  a convenience never decides a check
        refused = json.dumps({"refused": f"{type(error).__name__}: {error}"})
        (left / DESCRIPTION).write_text(refused, encoding="utf-8")


def _leave(
    left: Path,
    golden: Golden,
    capture: Capture,
    found: Comparison,
    arguments: Mapping[tuple[str, int], Arguments],
) -> None:
    diagnosis = found.diagnosis
    assert diagnosis is not None
    step = diagnosis.step
    described = _Described(capture, golden, left, step)
    content = {
        "step": step,
        "diagnosis": asdict(diagnosis, dict_factory=plain_dict),
        "isolation": None if found.isolation is None else asdict(found.isolation, dict_factory=plain_dict),
        "device": str(next((tensor.device for tensor in capture.tensors.values()), "cpu")),
        "modules": {path or ROOT: described.module(module) for path, module in capture.model.named_modules()},
        "names": described.names,
        "live": described.live,
        "files": described.files,
        "calls": _calls(golden, capture.names, step),
        "arguments": {f"{path}#{call}": one for (path, call), one in arguments.items()},
        "bounds": {delta.site: _bound(delta) for delta in found.failures if delta.step == step and _bound(delta)},
        "optimizers": [_optimizer(optimizer, described) for optimizer in capture.optimizers],
    }
    if described.kept:
        save_file({name: tensor.contiguous() for name, tensor in described.kept.items()}, left / TENSORS)
    (left / DESCRIPTION).write_text(json.dumps(content, indent=1, allow_nan=True), encoding="utf-8")


class _Described:
    """One model: its modules' records, and what of its tensors the golden does not have as they are here."""

    def __init__(self, capture: Capture, golden: Golden, left: Path, step: int) -> None:
        capture.refresh()
        self._capture = capture
        self._paths = {id(module): path for path, module in capture.model.named_modules()}
        self._tensors: dict[int, str] = {}
        self._held: dict[str, torch.Tensor] = {}
        for path, module in capture.model.named_modules():
            for name, tensor in (*module._parameters.items(), *module._buffers.items()):  # noqa: SLF001
                if tensor is not None and id(tensor) not in self._tensors:
                    self._tensors[id(tensor)] = f"{path}.{name}" if path else name
                    self._held[self._tensors[id(tensor)]] = tensor
        self.names: dict[str, str] = {}
        """Of a tensor here the golden's weight that it began the step as, unless it is among ``kept``."""
        self.kept: dict[str, torch.Tensor] = {}
        self.files: dict[str, list[str]] = {}
        """Of each module of python's that is neither torch's nor the standard library's: its file, and the directory to
        have on the path."""
        weights = [entry for entry in golden.entries(step) if entry.site.kind is Kind.WEIGHT]
        self.live = not weights and any(capture.steps_taken)
        """Whether weights are those of the check's end, after the optimizer has stepped."""
        with Golden.open(left) as own:
            there = {entry.site: entry for entry in own.entries(step)} if step in own.steps else {}
            self._place(
                Beginning(
                    weights,
                    capture.names,
                    lambda entry: own.tensor(there[entry.site]) if entry.site in there else golden.tensor(entry),
                )
            )

    def _place(self, beginning: Beginning) -> None:
        for name, tensor in self._held.items():
            site = self._capture.name_of(tensor)
            if site is None or beginning.shape(site) is None:
                self.kept[name] = tensor.detach().cpu().clone()
            elif site in self._capture.names.layouts:
                self.kept[name] = beginning.weight(site)
            else:
                self.names[name] = site

    def known(self, value: Any) -> Any:
        """What stands for a tensor or a module that is the model's; a tensor that is nobody's is kept."""
        if isinstance(value, torch.nn.Module):
            path = self._paths.get(id(value))
            return None if path is None else {"module": path or ROOT}
        if not isinstance(value, torch.Tensor):
            return None
        name = self._tensors.get(id(value))
        if name is None:
            name = self._tensors[id(value)] = f"(attribute).{len(self.kept)}"
            self.kept[name] = value.detach().cpu().clone()
        return {"tensor": name}

    def module(self, module: torch.nn.Module) -> dict[str, Any]:
        """A module's record."""
        attributes, left_out = self._attributes(module)
        paths = self._capture.modules.aliases.get(module, [self._paths[id(module)] or ROOT])
        try:
            place, refused = importable(type(module)), ""
        except UnplainError as error:
            place, refused = "", str(error)
        self._remember([{"import": place}] if place else [], attributes)
        fresh = [one for hooks in _HOOKS for one in getattr(module, hooks).values() if not _ours(one)]
        return {
            "class": place,
            "refused": refused,
            "paths": paths,
            "reference": [self._capture.names.path(path) for path in paths],
            "training": module.training,
            "attributes": attributes,
            "left_out": {**left_out, **({"hooks": f"{len(fresh)} of them"} if fresh else {})},
            "parameters": {
                name: None if one is None else {"tensor": self._tensors[id(one)], "trains": one.requires_grad}
                for name, one in module._parameters.items()  # noqa: SLF001
            },
            "buffers": {
                name: None if one is None else self._tensors[id(one)]
                for name, one in module._buffers.items()  # noqa: SLF001
            },
            "children": {
                name: None if one is None else self._paths[id(one)]
                for name, one in module._modules.items()  # noqa: SLF001
            },
        }

    def _attributes(self, module: torch.nn.Module) -> tuple[dict[str, Any], dict[str, str]]:
        attributes: dict[str, Any] = {}
        left_out: dict[str, str] = {}
        for name, value in vars(module).items():
            if name not in _OWN:
                try:
                    attributes[name] = plainly(value, self.known)
                except UnplainError as error:
                    left_out[name] = str(error)
        return attributes, left_out

    def remember(self, place: str) -> None:
        """Note where an importable thing is defined."""
        module = place.partition(":")[0]
        if _is_common(module) or module in self.files:
            return
        held = sys.modules.get(module)
        file = held and inspect.getsourcefile(held)
        if file:
            path = Path(file).resolve()
            depth = len(module.split(".")) + (path.name == "__init__.py")
            self.files[module] = [str(path), str(Path(*path.parts[:-depth]))]

    def _remember(self, *values: Any) -> None:
        for place in imports(values):
            self.remember(place)


def imports(value: Any) -> Iterator[str]:
    """The importable things that a plain value mentions."""
    if isinstance(value, dict):
        for key, part in value.items():
            if key == "import" and isinstance(part, str):
                yield part
            elif key in {"object", "named"} and isinstance(part, list):
                yield part[0]
                yield from imports(part[1])
            else:
                yield from imports(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from imports(part)


def _is_common(module: str) -> bool:
    top = module.partition(".")[0]
    return top == "torch" or (top in sys.stdlib_module_names and top != "__main__")


def _ours(hook: Any) -> bool:
    return str(getattr(hook, "__module__", "")).startswith("pytest_parity")


def _calls(golden: Golden, names: BoundNames, step: int) -> dict[str, list[Any]]:
    """The candidate's call of each of the reference's, where it has another name or number."""
    found: dict[str, list[Any]] = {}
    for entry in golden.entries(step):
        site = entry.site
        if site.kind in {Kind.INPUT, Kind.ACTIVATION} and site.call is not None:
            own = names.back_call(site.path, site.call)
            if own != (site.path, site.call):
                found[f"{site.path}#{site.call}"] = list(own)
    return found


def _bound(delta: Delta) -> dict[str, Any] | None:
    """What was allowed at a site that fails."""
    if delta.noise is not None:
        noise = delta.noise
        return {"norm": noise.norm_floor * noise.factor, "gain": noise.gain_floor * noise.factor}
    return None if delta.tolerance is None else {"rtol": delta.tolerance.rtol, "atol": delta.tolerance.atol}


def _optimizer(optimizer: torch.optim.Optimizer, described: _Described) -> dict[str, Any]:
    try:
        place = importable(type(optimizer))
    except UnplainError as error:
        return {"class": "", "refused": str(error), "groups": []}
    described.remember(place)
    groups = [
        [described.known(parameter)["tensor"] for parameter in group["params"]] for group in optimizer.param_groups
    ]
    return {"class": place, "refused": "", "groups": groups}
