"""What a tensor of the candidate is made of: tensors of the reference, rearranged. Data only; nothing is computed here.

An expression names tensors (or modules, whose tensors are then each meant) of the reference and says how the
candidate's comes out of them. Every operation only moves elements, so that each can be undone exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_parity.errors import NameMapError

__all__ = [
    "Expression",
    "Source",
    "concat",
    "from_plain",
    "part_of",
    "permuted",
    "reshaped",
    "rotary",
    "sliced",
    "stack",
    "transposed",
    "unstacked",
]


@dataclass(frozen=True, slots=True, repr=False)
class Expression:
    """An operation on ``sources``; made by the functions of this module, compared and hashed by what it says."""

    operation: str
    sources: tuple[Source, ...]
    options: tuple[tuple[str, Any], ...] = ()

    def __repr__(self) -> str:
        options = [f"{name}={value!r}" for name, value in self.options]
        return f"{self.operation}({', '.join([*map(repr, self.sources), *options])})"

    def leaves(self) -> Iterator[str]:
        """The names it is made of, in order; one that is used twice comes twice."""
        for source in self.sources:
            if isinstance(source, Expression):
                yield from source.leaves()
            else:
                yield source

    def texts(self) -> Iterator[str]:
        """The names, and the options that are text."""
        for source in self.sources:
            yield from source.texts() if isinstance(source, Expression) else (source,)
        yield from (value for _, value in self.options if isinstance(value, str))

    def filled(self, fill: Callable[[str], str]) -> Expression:
        """The same with every name, and every option that is text, put through ``fill``."""
        sources = tuple(one.filled(fill) if isinstance(one, Expression) else fill(one) for one in self.sources)
        options = tuple((name, fill(value) if isinstance(value, str) else value) for name, value in self.options)
        return Expression(self.operation, sources, options)

    def renamed(self, rename: Callable[[str], str]) -> Expression:
        """The same with every name put through ``rename``."""
        sources = tuple(one.renamed(rename) if isinstance(one, Expression) else rename(one) for one in self.sources)
        return Expression(self.operation, sources, self.options)

    @property
    def whole(self) -> str | None:
        """The one name that all of it is and nothing else, rearranged; ``None`` for a part, or where several are joined."""
        if self.operation in _PARTIAL or len(self.sources) != 1:
            return None
        (source,) = self.sources
        return source.whole if isinstance(source, Expression) else source

    def to_plain(self) -> dict[str, Any]:
        """As TOML and JSON hold it: ``{"concat": ["a", "b"], "dim": 0}``."""
        sources = [one.to_plain() if isinstance(one, Expression) else one for one in self.sources]
        options = {name: list(value) if isinstance(value, tuple) else value for name, value in self.options}
        return {self.operation: sources if self.operation in _JOINING else sources[0], **options}


Source = str | Expression

_JOINING = frozenset({"concat", "stack"})
_PARTIAL = frozenset({"part_of", "sliced", "unstacked"})


def concat(*sources: Source, dim: int = 0) -> Expression:
    """The candidate's tensor is these, one after the other along ``dim`` (``torch.cat``)."""
    return _made("concat", sources, dim=_whole("concat", "dim", dim))


def stack(*sources: Source, dim: int = 0) -> Expression:
    """The candidate's tensor is these, along a dimension of their own (``torch.stack``)."""
    return _made("stack", sources, dim=_whole("stack", "dim", dim))


def part_of(source: Source, *, index: int | str, of: int, dim: int = 0) -> Expression:
    """The candidate's tensor is the part ``index`` (from 0) of ``of`` equal ones along ``dim``.

    ``index`` may be a wildcard of the key, ``"{i}"``.
    """
    of, dim = _whole("part_of", "of", of), _whole("part_of", "dim", dim)
    return _made("part_of", (source,), index=_index("part_of", index), of=of, dim=dim)


def sliced(source: Source, *, start: int, stop: int, dim: int = 0) -> Expression:
    """The candidate's tensor is ``start`` to ``stop`` (not included) along ``dim``."""
    numbers = {name: _whole("sliced", name, value) for name, value in (("start", start), ("stop", stop), ("dim", dim))}
    return _made("sliced", (source,), **numbers)


def unstacked(source: Source, *, index: int | str, dim: int = 0) -> Expression:
    """The candidate's tensor is one of those stacked along ``dim``; ``index`` may be a wildcard of the key, ``"{i}"``."""
    return _made("unstacked", (source,), index=_index("unstacked", index), dim=_whole("unstacked", "dim", dim))


def transposed(source: Source, *, dim0: int = 0, dim1: int = 1) -> Expression:
    """The candidate's tensor is this with two dimensions exchanged (``torch.transpose``)."""
    return _made(
        "transposed", (source,), dim0=_whole("transposed", "dim0", dim0), dim1=_whole("transposed", "dim1", dim1)
    )


def permuted(source: Source, *, dims: Sequence[int]) -> Expression:
    """The candidate's tensor is this with its dimensions in another order (``torch.permute``)."""
    return _made("permuted", (source,), dims=_numbers("permuted", "dims", dims))


def reshaped(source: Source, *, shape: Sequence[int]) -> Expression:
    """The candidate's tensor is this in row-major order with another shape; one size may be -1 (``torch.reshape``)."""
    return _made("reshaped", (source,), shape=_numbers("reshaped", "shape", shape))


def rotary(source: Source, *, heads: int, layout: str, dim: int = 0, size: int | None = None) -> Expression:
    """The candidate's tensor has the rotary pairs of each head in another order along ``dim``.

    ``layout`` is the candidate's: ``"half"`` pairs a dimension with the one half a head further, where the reference
    has pairs side by side; ``"interleaved"`` is the other way round. ``size`` is how many dimensions of each head are
    rotated, its first ones; all of them if not given.
    """
    if layout not in {"half", "interleaved"}:
        raise NameMapError(f"rotary(layout={layout!r}): the candidate's layout is 'half' or 'interleaved'")
    options = {"heads": _whole("rotary", "heads", heads), "layout": layout, "dim": _whole("rotary", "dim", dim)}
    return _made("rotary", (source,), **options, **({} if size is None else {"size": _whole("rotary", "size", size)}))


_FUNCTIONS: dict[str, Callable[..., Expression]] = {
    function.__name__: function
    for function in (concat, stack, part_of, sliced, unstacked, transposed, permuted, reshaped, rotary)
}


def from_plain(plain: Mapping[str, Any], text: str) -> Expression:
    """Read what ``to_plain`` writes; ``text`` is the rule for the message of a ``NameMapError``."""
    found = [name for name in plain if name in _FUNCTIONS]
    if len(found) != 1:
        raise NameMapError(f"name rule {text}: a table has one of the keys {', '.join(_FUNCTIONS)}")
    (operation,) = found
    given = plain[operation]
    sources = given if operation in _JOINING else [given]
    if isinstance(sources, str) or not isinstance(sources, Sequence):
        raise NameMapError(f"name rule {text}: {operation} joins a list of names")
    parts = [from_plain(one, text) if isinstance(one, Mapping) else one for one in sources]
    options = {name: value for name, value in plain.items() if name != operation}
    try:
        return _FUNCTIONS[operation](*parts, **options)
    except TypeError as error:
        raise NameMapError(f"name rule {text}: {error}") from None


def _made(operation: str, sources: tuple[Any, ...], **options: Any) -> Expression:
    for source in sources:
        if not isinstance(source, (str, Expression)):
            raise NameMapError(f"{operation}({source!r}, ...): what it is made of is a name, or another of these")
    if not sources:
        raise NameMapError(f"{operation}(): it joins nothing; give the reference's names")
    return Expression(operation, sources, tuple(options.items()))


def _whole(operation: str, name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise NameMapError(f"{operation}({name}={value!r}): {name} is a whole number")
    return value


def _index(operation: str, value: Any) -> int | str:
    return value if isinstance(value, str) else _whole(operation, "index", value)


def _numbers(operation: str, name: str, values: Any) -> tuple[int, ...]:
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise NameMapError(f"{operation}({name}={values!r}): {name} is a list of whole numbers")
    return tuple(_whole(operation, name, value) for value in values)
