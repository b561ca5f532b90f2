"""Isolation: what each module of the candidate adds of its own, fed the reference's inputs and gradients, alone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

__all__ = ["CallError", "Cause", "Faulty", "Hint", "Isolation", "Part"]


class Part(str, Enum):
    """What of a module is faulty."""

    OUTPUT = "output"
    """What it returns."""
    HANDED = "handed"
    """What its own code hands to one of its children."""
    VALUE = "value"
    """An output or a loss that the test's own code computes."""
    GRADIENT = "gradient"
    """Its backward pass: a gradient of a parameter of its own, or the one that it hands back."""
    UPDATE = "update"
    """The optimizer's step."""
    BUFFER = "buffer"
    """What its forward leaves in a buffer."""
    PROBE = "probe"
    """What it returns of the inputs that a probe made."""

    def __str__(self) -> str:
        return self.value


class Cause(str, Enum):
    """What a hint says is wrong. Each was tested on the data before it is told."""

    FACTOR = "factor"
    """A constant factor: of a loss, a gradient, an output."""
    SIGN = "sign"
    TRANSPOSE = "transpose"
    PERMUTATION = "permutation"
    """Heads, channels or rows in another order."""
    ROTARY = "rotary"
    """Interleaved rotary positions for half-split ones, or the reverse."""
    BIAS = "bias"
    """Missing, doubled, or another one's."""
    RESIDUAL = "residual"
    """Missing, doubled, or scaled."""
    SCALE = "scale"
    """A missing or doubled scale: of attention's logits, of an embedding, of a normalization's weight."""
    EPS = "eps"
    ACTIVATION = "activation"
    """Another activation function, or another variant of it."""
    MASK = "mask"
    """Missing, inverted, or off by one."""
    PADDING = "padding"
    """Of a convolution, on the other side or of another mode; of a batch."""
    ORDER = "order"
    """Layers in another order."""
    SHIFT = "shift"
    """Shifted by one in time."""
    DROPOUT = "dropout"
    """Active where the reference's is not, or the reverse, or at another rate."""
    BATCHNORM = "batchnorm"
    """In the other mode, or with another momentum, or the biased variance for the unbiased."""
    PRECISION = "precision"
    """Computed in a lower precision."""
    DETACHED = "detached"
    """A gradient is cut off."""
    REDUCTION = "reduction"
    """A sum for a mean, or over something else."""
    CLIPPING = "clipping"
    WEIGHT_DECAY = "weight_decay"
    """Coupled, decoupled, or missing."""
    LEARNING_RATE = "learning_rate"
    BETA = "beta"
    OPTIMIZER_EPS = "optimizer_eps"
    BIAS_CORRECTION = "bias_correction"
    ACCUMULATION = "accumulation"
    SEED = "seed"
    """Random numbers of another seed."""
    WEIGHT = "weight"
    """A weight that the module computes with is not the reference's."""
    CONSTANT = "constant"
    """A setting of the module's that the others do not name."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Hint:
    """Why a module is faulty, in closed form: with ``text``'s change it agrees to within its floor."""

    cause: Cause
    text: str
    """A sentence without a full stop, with the number that supports it."""


@dataclass(frozen=True, slots=True)
class Faulty:
    """One thing that is wrong by itself, whatever else is."""

    part: Part
    module: str
    """The candidate's own name of the module, the value, or the optimizer's class."""
    reference: str
    """The reference's name of the same."""
    call: int
    step: int
    site: str
    """Where it shows: the reference's name of the site."""
    order: int
    """Of that site, in the step's execution order."""
    floors: float
    """Its error in multiples of isolation's floor."""
    relative: float
    """``||a-r||/||r||``."""
    factor: float = 10.0
    """Floors above which it fails a check that passes otherwise."""
    candidate: str = ""
    """The candidate's own name of the site, where it is another."""
    after: str = ""
    """Of ``handed``, and of an output of a module with children: the child that was called last before it."""
    to: str = ""
    """Of ``handed``: the child that gets it."""
    hints: tuple[Hint, ...] = ()

    @property
    def sure(self) -> bool:
        """Whether it is further off than correct code is, and not only further than what is to blame once something is."""
        return self.floors > self.factor


@dataclass(frozen=True, slots=True)
class CallError:
    """One module call's error: what came in, what it added, what went out, in multiples of the noise floor.

    ``introduced`` is isolation's, in its own floors, and ``None`` where the call was not isolated; ``inherited`` and
    ``outgoing`` are the accumulated ones (``None``: nobody measured it). Infinite: of another shape, or not finite.
    """

    module: str
    reference: str
    call: int
    order: int
    inherited: float | None
    introduced: float | None
    outgoing: float | None


@dataclass(frozen=True, slots=True)
class Isolation:
    """What running the candidate once more, module by module, found in a step."""

    step: int
    calls: int = 0
    """Module calls that were isolated."""
    faulty: tuple[Faulty, ...] = ()
    """In causal order: forward in execution order, backward in the reverse, then the optimizer."""
    errors: tuple[CallError, ...] = ()
    refused: str = ""
    """Why it could not be done."""
    loop: bool = False
    """Whether gradients of parameters were looked at alone, and nothing but one factor common to all is off."""

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Isolation:
        """The inverse of ``asdict``, also after a round trip through JSON."""
        faulty = tuple(
            Faulty(**{**one, "part": Part(one["part"]), "hints": tuple(hint_of(hint) for hint in one["hints"])})
            for one in plain["faulty"]
        )
        return cls(**{**plain, "faulty": faulty, "errors": tuple(CallError(**one) for one in plain["errors"])})


def hint_of(plain: dict[str, Any]) -> Hint:
    """A hint of plain data."""
    return Hint(Cause(plain["cause"]), plain["text"])
