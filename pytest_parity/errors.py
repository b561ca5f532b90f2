"""Every exception that pytest-parity raises on purpose.

::

    ParityError
    ├── UsageError                a bad option, marker, ini value or call
    │   ├── ToleranceError        rtol or atol alone, negative, or not a number
    │   └── NameMapError          a rule that matches nothing, two names that land on one
    ├── LoadError                 the reference's weights do not fit the candidate; nothing was changed
    ├── CaptureError              something in the model cannot be observed
    ├── GoldenError               a golden that cannot be read, or not be written
    │   └── GoldenNotFound        no such case, or no golden at all
    ├── CurveError                a metrics file that cannot be read, or not be written
    └── ParityFailure             the candidate is not the reference (also an AssertionError)

The message says what happened in the user's own names, the numbers, and what to type next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_parity.result import Comparison

__all__ = [
    "CaptureError",
    "CurveError",
    "GoldenError",
    "GoldenNotFound",
    "LoadError",
    "NameMapError",
    "ParityError",
    "ParityFailure",
    "ToleranceError",
    "UsageError",
]


class ParityError(Exception):
    """The root of the tree; catch it to catch them all."""


class UsageError(ParityError):
    """An option, a marker, an ini value or a call that makes no sense."""


class ToleranceError(UsageError):
    """A tolerance that cannot be used."""


class NameMapError(UsageError):
    """A name map that cannot be applied."""


class LoadError(ParityError):
    """The reference's weights do not fit the candidate. Nothing was changed."""


class CaptureError(ParityError):
    """Something in the model cannot be observed."""


class GoldenError(ParityError):
    """A golden that cannot be read or written."""


class GoldenNotFound(GoldenError):
    """There is no such golden."""


class CurveError(ParityError):
    """A metrics file that cannot be read or written."""


class ParityFailure(ParityError, AssertionError):
    """The candidate is not the reference; ``comparison`` holds the deltas behind the message."""

    def __init__(self, message: str, comparison: Comparison | None = None) -> None:
        super().__init__(message)
        self.comparison = comparison
