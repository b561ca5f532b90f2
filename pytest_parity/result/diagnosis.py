"""Diagnosis: what went wrong first, and what was set otherwise than in the golden's run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from pytest_parity.result.isolation import Hint

__all__ = ["Character", "Diagnosis", "Difference", "Fault"]


class Fault(str, Enum):
    """In what way the first divergence diverges."""

    STRUCTURE = "structure"
    """Names, shapes, dtypes or what trains, before any number."""
    DATA = "data"
    """The batch."""
    WEIGHT = "weight"
    """The weights at the step's start."""
    PROBE = "probe"
    """A module fed with what a probe made; the step's own data do not show it."""
    MODULE = "module"
    """A module whose inputs agree and whose output does not."""
    BETWEEN = "between"
    """The code of a module between the calls of its children."""
    SKIPPED = "skipped"
    """A step of the reference that the candidate never came to."""
    NOT_CALLED = "not_called"
    """A module of the reference that the candidate never called."""
    VALUE = "value"
    """An output or the loss, while every module call agrees."""
    BACKWARD = "backward"
    """A gradient, while everything of the forward agrees."""
    NO_GRADIENT = "no_gradient"
    """A gradient that the reference has and the candidate has not, while the forward agrees."""
    CUT = "cut"
    """A module, or code between two of its children, that lets no gradient through."""
    LOOP = "loop"
    """Gradients that are others though no module's backward is: what the loop does with them before the optimizer's step."""
    UPDATE = "update"
    """The optimizer's step, stepped from the reference's own weights, state and gradients."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The first divergence: which module went wrong first, and what is known about why."""

    fault: Fault
    site: str
    step: int
    module: str
    """The candidate's own name of the module (or the parameter, the batch field, the optimizer) to look at."""
    reference: str
    """The reference's name of the same."""
    after: str = ""
    """The last site in execution order that agreed, where that helps; of a cut the child in front of it."""
    to: str = ""
    """Of a cut: the child behind it."""
    candidate: str = ""
    """The candidate's own name of the site, where it is another."""
    others: int = 0
    """How many sites fail besides."""
    hints: tuple[str, ...] = ()
    """What is known besides, and what to type."""
    causes: tuple[Hint, ...] = ()
    """Why, in closed form; each was tested on the data."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting that had another value in the golden's run; values are as they are shown."""

    about: str
    """``constant`` of a module, ``optimizer``, ``config``, or ``streams``."""
    name: str
    golden: str
    here: str
    where: str = ""
    """The candidate's own path of the module, or the optimizer's class."""
    likely: bool = False
    """Whether it belongs to what diverges first."""


@dataclass(frozen=True, slots=True)
class Character:
    """What a failing step's errors look like taken together, told where they tell it.

    ``drift``: the environment is another, and every site moved a little. ``regression``: one module moved: sites before
    it agree or moved a little, and at ``site`` (the candidate's own name) the error jumps from ``before``, the largest
    until then, to ``here``. Errors are ``||a-r||/||r||``, or multiples of the noise floor where ``floors``; ``before``
    and ``here`` of a drift are the smallest and the largest of those measured.
    """

    drift: bool
    moved: int
    """Sites that are not bitwise equal, of ``sites``."""
    sites: int
    before: float
    here: float
    floors: bool = False
    site: str = ""
