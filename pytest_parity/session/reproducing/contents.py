"""Contents: what stands in the directory of a reproduction: tensors, and the module's description with its bounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from pytest_parity.capture import Streams
from pytest_parity.compare.floor import default_factor
from pytest_parity.compare.tolerance import default_tolerance
from pytest_parity.errors import UsageError
from pytest_parity.golden.entry import NONE, Entry
from pytest_parity.session.reproducing.subject import Subject
from pytest_parity.session.reproducing.told import Told
from pytest_parity.site import ROOT, Kind, Site

__all__ = ["Contents", "contents_of"]


@dataclass(slots=True)
class Contents:
    """Three files of tensors, ``module.json``, and what is to be said of them."""

    name: str
    told: dict[str, Any]
    needs: list[str] = field(default_factory=list)
    """The names of ``weights``."""
    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    inputs: dict[str, torch.Tensor] = field(default_factory=dict)
    expected: dict[str, torch.Tensor] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    """Settings that could not be written, by the module's path and the name."""


def contents_of(told: Told, subject: Subject) -> Contents:
    """Everything of a subject; raises ``UsageError`` where something that it needs is not there."""
    made = _of_optimizer(told, subject) if subject.optimizer else _of_module(told, subject)
    if told.content["live"]:
        raise UsageError(
            f"the golden of {told.case} holds no weights (kinds= leaves them out), and the optimizer has stepped since the "
            "step that differs; record it with the kind 'weight'"
        )
    made.weights = {name: told.weight(name) for name in made.needs}
    return made


def _of_module(told: Told, subject: Subject) -> Contents:
    keys = told.inside(subject.key)
    refused = next((one for one in keys if not told.modules[one]["class"]), None)
    if refused is not None:
        raise UsageError(
            f"{refused} cannot be built again: its class is {told.modules[refused]['refused']}; a class at the top level of a "
            "module can, and so can any module without it: --module NAME"
        )
    records = {key: _record(told.modules[key], keys) for key in keys}
    made = Contents(subject.key, {"modules": {key: record for key, (record, _) in records.items()}})
    made.left_out = {f"{key}.{name}": why for key, (_, left) in records.items() for name, why in left.items()}
    made.needs = [name for record, _ in records.values() for name in _tensors(record)]
    made.told |= {
        "root": subject.key,
        "parameters": {
            one["tensor"]: one["trains"]
            for key in keys
            for one in told.modules[key]["parameters"].values()
            if one is not None
        },
        "seeds": _seeds(told, subject, keys),
        "backward": {},
        "expected": {},
    }
    _add_inputs(told, subject, made)
    _add_outputs(told, subject, made)
    _add_gradients(told, subject, made, keys)
    if Site.parse(subject.site or "loss/loss").kind is Kind.UPDATED_WEIGHT:
        _add_buffers(told, made, keys)
    made.remarks += subject.why
    if made.told["seeds"] == {} and any(told.modules[key]["training"] for key in keys):
        policy = told.golden.manifest["settings"]["rng"]
        made.remarks.append(f"random draws are not those of the check, whose streams were rng={policy!r}")
    return made


def _record(record: dict[str, Any], keys: list[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """A module's record as the script reads it, and what of it is left out."""
    left_out = dict(record["left_out"])
    attributes = {}
    for name, value in record["attributes"].items():
        if all(path in keys for path in _mentioned(value, "module")):
            attributes[name] = value
        else:
            left_out[name] = "a module outside of this one"
    return {
        "class": record["class"],
        "training": record["training"],
        "attributes": attributes,
        "parameters": {name: one and one["tensor"] for name, one in record["parameters"].items()},
        "buffers": record["buffers"],
        "children": {name: ROOT if one == "" else one for name, one in record["children"].items()},
    }, left_out


def _mentioned(value: Any, what: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, part in value.items():
            if key == what and isinstance(part, str):
                yield part
            else:
                yield from _mentioned(part, what)
    elif isinstance(value, list):
        for part in value:
            yield from _mentioned(part, what)


def _tensors(record: dict[str, Any]) -> Iterator[str]:
    yield from (name for name in (*record["parameters"].values(), *record["buffers"].values()) if name is not None)
    yield from _mentioned(record["attributes"], "tensor")


def _seeds(told: Told, subject: Subject, keys: list[str]) -> dict[str, list[int]]:
    """By module the seed of each of its calls inside of this one, in their order."""
    settings = told.golden.manifest["settings"]
    if settings["rng"] != "keyed" or not any(told.modules[key]["training"] for key in keys):
        return {}
    streams = Streams(told.case, policy="keyed", seed=settings["seed"])
    first, last = told.span(subject.reference, subject.call)
    found: dict[str, list[int]] = {}
    for path, call in sorted(told.calls(), key=lambda one: told.span(*one)[0]):
        start, end = told.span(path, call)
        key = told.own_module(path, call)
        if first <= start and end <= last and key in keys:
            found.setdefault(key, []).append(streams.call_key(told.step, path, call))
    return found


def _add_inputs(told: Told, subject: Subject, made: Contents) -> None:
    entries = told.at(Kind.INPUT, subject.reference, subject.call)
    made.inputs |= {leaf: told.golden.tensor(entry) for leaf, entry in entries.items() if entry.dtype != NONE}
    called = told.content["arguments"].get(f"{subject.reference}#{subject.call}")
    if called is None:
        called = {"args": [{"input": leaf} for leaf in made.inputs], "kwargs": {}}
    if "refused" in called:
        raise UsageError(
            f"{subject.key} cannot be called again: one of its arguments is {called['refused']}; the modules in it that are "
            "called with tensors and plain values can: --module NAME"
        )
    absent = sorted({*_mentioned(called, "input")} - made.inputs.keys())
    if absent:
        raise UsageError(f"the candidate hands {', '.join(absent)} to {subject.key}, and the golden has no such input")
    made.told |= called


def _add_outputs(told: Told, subject: Subject, made: Contents) -> None:
    for leaf, entry in told.at(Kind.ACTIVATION, subject.reference, subject.call).items():
        if entry.dtype != NONE:
            _expect(told, subject, made, entry, {"what": "output", "name": leaf or "out"})


def _add_gradients(told: Told, subject: Subject, made: Contents, keys: list[str]) -> None:
    """Backward from the recorded gradients of the outputs, where this is the only call that a parameter has a part in."""
    begun = told.at(Kind.ACTIVATION_GRADIENT, subject.reference, subject.call)
    begun = {leaf: entry for leaf, entry in begun.items() if entry.dtype != NONE}
    alone = [name for name in made.told["parameters"] if _is_alone(told, subject, name)]
    wanted = {name: told.entry(Kind.GRADIENT, told.content["names"].get(name, "")) for name in alone}
    wanted = {name: entry for name, entry in wanted.items() if entry is not None and entry.dtype != NONE}
    if not begun or not wanted:
        if keys and made.told["parameters"]:
            made.remarks.append(
                "gradients are not compared: "
                + (
                    "the golden has no activation_gradient"
                    if not begun
                    else "its parameters are used in other calls too, or rearranged"
                )
            )
        return
    for leaf, entry in begun.items():
        made.inputs[f"gradient of {leaf or 'out'}"] = told.golden.tensor(entry)
        made.told["backward"][leaf or "out"] = f"gradient of {leaf or 'out'}"
    for name, one in wanted.items():
        assert one is not None
        _expect(told, subject, made, one, {"what": "gradient", "name": name})
    made.remarks.append(
        "gradients are as the optimizer saw them: clipped or scaled behind backward, they are others (--forward leaves them out)"
    )


def _is_alone(told: Told, subject: Subject, name: str) -> bool:
    first, last = told.span(subject.reference, subject.call)
    held = [key for key, one in told.modules.items() if name in {p["tensor"] for p in one["parameters"].values() if p}]
    spans = [told.span(path, call) for path, call in told.calls() if told.own_module(path, call) in held]
    return all(first <= start and end <= last for start, end in spans)


def _add_buffers(told: Told, made: Contents, keys: list[str]) -> None:
    subject = Subject("", "")
    for key in keys:
        for name in told.modules[key]["buffers"].values():
            entry = told.entry(Kind.UPDATED_WEIGHT, told.content["names"].get(name or "", ""))
            if entry is not None and entry.dtype != NONE:
                _expect(told, subject, made, entry, {"what": "buffer", "name": name})


def _expect(told: Told, subject: Subject, made: Contents, entry: Entry, what: dict[str, Any]) -> None:
    site = str(entry.site)
    made.expected[site] = told.golden.tensor(entry)
    made.told["expected"][site] = {**what, **_bound(told, subject, entry, made.expected[site])}


def _bound(told: Told, subject: Subject, entry: Entry, tensor: torch.Tensor) -> dict[str, float]:
    """What is allowed: by isolation, as the check had it, by the golden's noise floor, or by the dtype."""
    site = str(entry.site)
    if site in subject.norms:
        return {"norm": subject.norms[site] * float(tensor.double().norm()), "gain": 0.0}
    bound: dict[str, float] | None = told.content["bounds"].get(site)
    if bound is not None:
        return bound
    noise = told.golden.noise
    floor = None if noise is None else noise.of(told.step, entry.order)
    if floor is not None and (tensor.is_floating_point() or tensor.is_complex()):
        factor = default_factor(entry.dtype)
        return {"norm": floor.norm * factor, "gain": floor.gain * factor}
    default = default_tolerance(entry.dtype, entry.dtype)
    return {"rtol": default.rtol, "atol": default.atol}


def _of_optimizer(told: Told, subject: Subject) -> Contents:
    """The parameters whose update fails, with their gradients and state."""
    names = {site: own for own, site in told.content["names"].items()}
    failing = [Site.parse(site) for site in told.content["bounds"]]
    sites = [site for site in failing if site.kind is Kind.UPDATED_WEIGHT and site.path in names]
    place = _place(told, names.get(Site.parse(subject.site).path, ""))
    optimizer = (
        told.content["optimizers"][place] if place is not None else {"class": "", "refused": "none that steps it"}
    )
    settings = (
        told.own.manifest["steps"].get(str(told.step), {}).get("own", {}).get("hyperparameters", {}).get(str(place))
    )
    if not optimizer["class"] or not settings or not sites:
        raise UsageError(
            f"the step of {subject.reference} cannot be written: "
            + (optimizer["refused"] or "its parameters are rearranged by the name map, or nothing is left of it")
        )
    held = [[names[site.path] for site in sites if names[site.path] in group] for group in optimizer["groups"]]
    groups = [{"settings": one, "names": own} for one, own in zip(settings, held, strict=True) if own]
    chosen = [name for group in groups for name in group["names"]]
    made = Contents(
        optimizer["class"].rpartition(":")[2],
        {
            "optimizer": {"class": optimizer["class"], "groups": groups, "state": {}},
            "parameters": dict.fromkeys(chosen, True),
            "modules": {},
            "expected": {},
        },
        needs=chosen,
    )
    for name in chosen:
        _add_update(told, made, name, place or 0)
    return made


def _place(told: Told, name: str) -> int | None:
    places = enumerate(told.content["optimizers"])
    return next((place for place, one in places if any(name in group for group in one["groups"])), None)


def _add_update(told: Told, made: Contents, name: str, place: int) -> None:
    path = told.content["names"][name]
    new, gradient = told.entry(Kind.UPDATED_WEIGHT, path), told.entry(Kind.GRADIENT, path)
    start = told.entry(Kind.WEIGHT, path)
    if new is None or gradient is None or start is None:
        raise UsageError(f"the golden of {told.case} does not hold the weight, the gradient and the update of {path}")
    if gradient.dtype != NONE:
        made.inputs[f"gradient {name}"] = told.golden.tensor(gradient)
    for entry in told.entries:
        if entry.site.kind is Kind.OPTIMIZER and entry.site.path == path and entry.site.optimizer == place:
            key = f"state {name} {entry.site.leaf}"
            made.inputs[key] = told.golden.tensor(entry)
            made.told["optimizer"]["state"].setdefault(name, {})[entry.site.leaf] = key
    site = str(new.site)
    made.expected[site] = told.golden.tensor(new) - told.golden.tensor(start)
    made.told["expected"][site] = {"what": "update", "name": name, **told.content["bounds"][site]}
