"""Site: the address of one tensor in a training step."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from urllib.parse import unquote

from pytest_parity.errors import UsageError

__all__ = ["CAUSAL_ORDER", "DEFAULT_KINDS", "INPUTS", "ROOT", "Kind", "Site", "kind_named"]

ROOT = "(model)"
"""The path of the root module, whose own name in torch is the empty string."""

INPUTS = "(inputs)"
"""What the path of a gradient begins with that is an input's, and no parameter's."""


class Kind(str, Enum):
    """What sort of value a site holds; the members stand in causal order."""

    BATCH = "batch"
    WEIGHT = "weight"
    PROBE = "probe"
    INPUT = "input"
    ACTIVATION = "activation"
    OUTPUT = "output"
    LOSS = "loss"
    ACTIVATION_GRADIENT = "activation_gradient"
    GRADIENT = "gradient"
    OPTIMIZER = "optimizer"
    UPDATED_WEIGHT = "updated_weight"

    __hash__ = str.__hash__  # Enum's own is written in Python, and sites are hashed for every observation

    def __str__(self) -> str:
        return self.value


CAUSAL_ORDER: dict[Kind, int] = {kind: rank for rank, kind in enumerate(Kind)}
DEFAULT_KINDS: frozenset[Kind] = frozenset(Kind) - {Kind.ACTIVATION_GRADIENT, Kind.PROBE}


def kind_named(name: str) -> Kind:
    """A kind by the name that someone has typed; raises ``UsageError`` for what is none."""
    kinds = [kind.value for kind in Kind]
    if name in kinds:
        return Kind(name)
    near = get_close_matches(name, kinds, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UsageError(f"{name!r} is no kind; {hint}kinds are {', '.join(kinds)}")


_SITE = re.compile(
    r"(?P<kind>[a-z_]+)/(?P<path>[^/#@]*)(?:#(?P<call>\d+))?(?:/(?P<leaf>[^/#@]*))?(?:@opt(?P<optimizer>\d+))?"
)


@dataclass(frozen=True, slots=True)
class Site:
    """The address of one tensor: kind, path, call index, leaf path, optimizer.

    ``path`` is a dotted module path (probe, input, activation, activation_gradient), a dotted parameter path (weight,
    gradient, optimizer, updated_weight) or a value's name (batch, output, loss). ``call`` counts the calls of a module
    within a step. ``leaf`` is the place in a nested value: ``out.1`` of an output, ``in.0`` of the inputs, ``exp_avg``
    of an optimizer's state, ``tiny`` of a probe's output (``tiny.out.1`` of a further one). Written
    ``activation/encoder.layers.0.norm_out#0/out.1``, with ``@opt1`` behind it for the second optimizer; ``% / # @``
    inside a name are percent-encoded.
    """

    kind: Kind
    path: str
    call: int | None = None
    leaf: str = ""
    optimizer: int = 0

    def __str__(self) -> str:
        text = f"{self.kind.value}/{_escape(self.path)}"
        if self.call is not None:
            text += f"#{self.call}"
        if self.leaf:
            text += f"/{_escape(self.leaf)}"
        if self.optimizer:
            text += f"@opt{self.optimizer}"
        return text

    @classmethod
    def parse(cls, text: str) -> Site:
        """Read a site as ``str`` writes it; raises ``ValueError`` on anything else."""
        match = _SITE.fullmatch(text)
        if match is None or match["kind"] not in Kind._value2member_map_:
            raise ValueError(f"{text!r} is not a site; one looks like 'activation/encoder.layers.0.norm_out#0'")
        return cls(
            kind=Kind(match["kind"]),
            path=unquote(match["path"]),
            call=None if match["call"] is None else int(match["call"]),
            leaf=unquote(match["leaf"] or ""),
            optimizer=int(match["optimizer"] or 0),
        )


def _escape(name: str) -> str:
    for character in "%/#@":
        if character in name:
            name = name.replace(character, f"%{ord(character):02X}")
    return name
