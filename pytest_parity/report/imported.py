"""What ``parity import`` took over of an old saver's output, and what it did not, and why: data, and its lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pytest_parity.report.words import amount, listed, size, steps_words

__all__ = ["Imported", "Refused", "imported_lines"]

_SHOWN = 8
_LAYERS = frozenset({"layer_outputs.pkl", "hook_data.pkl"})
_CONVERT = (
    "import pickle, torch; torch.save(pickle.load(open('{name}', 'rb')), '{stem}.pt')",
    "layers' inputs and outputs are in {name}: where it was written, and is trusted, turn it into tensors, then import again:",
)


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that was not read: its name, the steps it lies in (none: beside them), and why."""

    name: str
    steps: tuple[int, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Imported:
    """A golden made of an old saver's output: ``sites`` by step and kind, ``nbytes`` on disk."""

    case: str
    path: str
    sites: dict[int, dict[str, int]]
    nbytes: int
    refused: tuple[Refused, ...] = ()


def imported_lines(imported: Imported) -> Iterator[str]:
    """What is there now, step by step, then what was not read."""
    total = sum(sum(kinds.values()) for kinds in imported.sites.values())
    steps = steps_words(list(imported.sites))
    yield f"{imported.case}: imported {amount(total, 'site')} in {steps}, {size(imported.nbytes)}, to {imported.path}"
    for step, kinds in imported.sites.items():
        yield f"  step {step}: " + ", ".join(f"{kind.replace('_', ' ')} {count:,}" for kind, count in kinds.items())
    reasons: dict[str, list[Refused]] = {}
    for one in imported.refused:
        reasons.setdefault(one.reason, []).append(one)
    for reason, ones in reasons.items():
        yield f"not read, {reason}:"
        yield "  " + listed([_place(one) for one in ones], _SHOWN)
    layers = next((one.name for one in imported.refused if one.name in _LAYERS), None)
    if layers is not None:
        stem = layers.removesuffix(".pkl")
        yield _CONVERT[1].format(name=layers)
        yield f'  python -c "{_CONVERT[0].format(name=layers, stem=stem)}"'


def _place(one: Refused) -> str:
    return f"{one.name} ({steps_words(one.steps)})" if one.steps else one.name
