"""Data: how a batch differs from the golden's."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from pytest_parity.result.plain import plain_dict

__all__ = ["Content", "DataDifference", "DataFault", "Leaf", "LeafDifference", "Pad", "Padding", "Plain"]


class DataFault(str, Enum):
    """In what way a batch is not the golden's: the most specific that its data proves."""

    ORDER = "order"
    """The golden's batch of another step, or its rows in another order."""
    DTYPE = "dtype"
    """The same values."""
    PADDING = "padding"
    """The same values inside of the padding."""
    SHAPE = "shape"
    CONTENT = "content"
    MISSING = "missing"
    """A tensor that the golden's batch has, or the whole batch: the loader ended before."""
    EXTRA = "extra"
    """A tensor that the golden's batch has not, or a batch after the golden's last one."""
    UNKNOWN = "unknown"
    """None of the golden's batches; of the one in its place the golden keeps only a digest."""

    def __str__(self) -> str:
        return self.value


Plain = bool | int | float | str
"""One element of a tensor; a complex one is written out."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A tensor of a batch; ``path`` is empty where the batch itself is the tensor."""

    path: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Pad:
    """How a tensor is padded along a dimension; ``value`` is ``None`` where it is not one value, or nothing is padded."""

    side: str
    """``left`` or ``right``."""
    value: Plain | None


@dataclass(frozen=True, slots=True)
class Padding:
    """Two paddings along ``dim`` of what is the same inside of them."""

    dim: int
    here: Pad
    golden: Pad


@dataclass(frozen=True, slots=True)
class Content:
    """How the elements of two tensors of one shape differ; ``gain``, ``ulps`` and ``shift`` where it is that and no more."""

    elements: int
    mismatched: int
    """Elements whose bits are others (of two dtypes: whose values are)."""
    rows: int
    """The size of the first dimension."""
    rows_mismatched: int
    nonfinite: int
    """Mismatching elements that are not finite on one side; left out of ``max_abs``."""
    max_abs: float
    index: tuple[int, ...]
    """The first mismatching element."""
    here: Plain
    golden: Plain
    gain: float | None = None
    """Every element is the golden's times this, but for rounding."""
    ulps: float | None = None
    """``max_abs`` in units in the last place of the golden's largest magnitude, where it is few."""
    shift: int | None = None
    """Of integers: every one that mismatches is the golden's plus this."""


@dataclass(frozen=True, slots=True)
class LeafDifference:
    """How one tensor of a batch differs from its counterpart in the golden's."""

    fault: DataFault
    here: Leaf | None
    golden: Leaf | None
    padding: Padding | None = None
    content: Content | None = None
    dim: int | None = None
    """The dimension whose sizes differ, where it is one."""
    arrangement: str = ""
    """Of another shape: ``reshaped`` or ``transposed`` into it, or the shorter is the longer's ``beginning`` or ``end``
    along ``dim``."""
    swapped: str = ""
    """The path of another tensor of the golden's batch that is the one here, bit for bit."""


@dataclass(frozen=True, slots=True)
class DataDifference:
    """How the batch of a step differs from the golden's."""

    step: int
    fault: DataFault
    leaves: tuple[LeafDifference, ...] = ()
    """The tensors that differ, in the golden's order, then those that it has not; none where the batch as a whole does."""
    compared: int = 0
    """Tensors that have a counterpart."""
    batch: int | None = None
    """The golden's batch that is the one here."""
    rows: tuple[int, ...] = ()
    """For each row here its place in the golden's batch."""
    unmoved: tuple[str, ...] = ()
    """Tensors whose rows do not follow that order."""
    batches: int = 0
    """How many batches of the golden have a digest."""

    def to_plain(self) -> dict[str, Any]:
        """As dictionaries, lists, strings and numbers only."""
        return asdict(self, dict_factory=plain_dict)

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> DataDifference:
        """The inverse of ``to_plain``, also after a round trip through JSON."""
        return cls(
            **{
                **plain,
                "fault": DataFault(plain["fault"]),
                "leaves": tuple(_leaf_difference_from_plain(one) for one in plain["leaves"]),
                "rows": tuple(plain["rows"]),
                "unmoved": tuple(plain["unmoved"]),
            }
        )


def _leaf_difference_from_plain(plain: dict[str, Any]) -> LeafDifference:
    padding, content = plain["padding"], plain["content"]
    sides = {
        side: plain[side] and Leaf(**{**plain[side], "shape": tuple(plain[side]["shape"])})
        for side in ("here", "golden")
    }
    return LeafDifference(
        **{
            **plain,
            **sides,
            "fault": DataFault(plain["fault"]),
            "padding": padding and Padding(padding["dim"], Pad(**padding["here"]), Pad(**padding["golden"])),
            "content": content and Content(**{**content, "index": tuple(content["index"])}),
        }
    )
