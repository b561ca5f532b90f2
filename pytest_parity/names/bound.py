"""A name map applied to two models: every name of the candidate with the reference's, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from pytest_parity.names.layout import REARRANGED, Layout
from pytest_parity.site import ROOT

__all__ = ["UNMAPPED", "BoundNames"]

Call = tuple[str, int]

UNMAPPED = " (unmapped)"
"""Behind the candidate's own name of what has no counterpart, where its plain name is another one's counterpart."""


class BoundNames:
    """The names of a candidate in terms of the reference's; made by ``NameMap.bind``.

    Names that were not bound (an alias of a tied parameter) follow the same rules, without the checks.
    """

    __slots__ = ("_back", "_back_calls", "_calls", "_paths", "_targets", "_translate", "layouts")

    def __init__(
        self,
        *,
        paths: Mapping[str, str],
        calls: Mapping[Call, Call],
        translate: Callable[[str], str] = lambda path: path,
        layouts: Iterable[Layout] = (),
    ) -> None:
        self.layouts: dict[str, Layout] = {name: layout for layout in layouts for name in layout.candidate}
        """By ``path`` of each tensor of the candidate's that is rearranged; several of them may have one layout."""
        self._translate = translate
        self._paths = dict(paths)
        self._calls = dict(calls)
        self._back_calls = {target: call for call, target in self._calls.items()}
        self._targets = frozenset(self._back_calls)
        self._back: dict[str, str] = {}
        for (path, _), (target, _) in sorted(self._calls.items(), key=lambda item: item[1]):
            self._back.setdefault(target, path)
        split = {path for path, _ in self._calls}
        self._back.update({target: path for path, target in self._paths.items() if path not in split})
        for layout in self.layouts.values():
            own = " + ".join(name.removesuffix(REARRANGED) for name in layout.candidate)
            self._back.update(dict.fromkeys(layout.reference, own))

    @classmethod
    def identity(cls) -> BoundNames:
        """Every name is itself."""
        return cls(paths={}, calls={})

    @property
    def call_targets(self) -> frozenset[str]:
        """The reference's modules that rules for single calls lead to."""
        return frozenset(path for path, _ in self._targets)

    def path(self, candidate: str) -> str:
        """The reference's path of a module, parameter or buffer of the candidate.

        Of a tensor that is rearranged it is its own, marked, which ``layouts`` knows.
        """
        try:
            return self._paths[candidate]
        except KeyError:
            return self._paths.setdefault(candidate, self._translate(candidate or ROOT))

    def call(self, candidate: str, index: int) -> Call:
        """The reference's module and call index for a call of the candidate's."""
        try:
            return self._calls[candidate, index]
        except KeyError:
            return self._calls.setdefault((candidate, index), self._plain_call(candidate, index))

    def tensors(self, path: str) -> tuple[str, ...]:
        """The tensors of the reference in which one of the candidate's (by its ``path``) has a part."""
        layout = self.layouts.get(path)
        return (path,) if layout is None else tuple(layout.reference)

    def parts(self, candidate: str) -> Mapping[str, tuple[int, ...]] | None:
        """The tensors of the reference, with their shapes, that a rearranged one of the candidate has a part in."""
        layout = self.layouts.get(self.path(candidate))
        return None if layout is None else layout.reference

    def back(self, reference: str) -> str:
        """The candidate's path of a name of the reference's; the reference's own where it has no counterpart.

        Of a tensor that the candidate has in several, all of them, joined by a plus sign.
        """
        return self._back.get(reference) or reference.removesuffix(UNMAPPED).removesuffix(REARRANGED)

    def back_call(self, reference: str, index: int) -> Call:
        """The candidate's module and call index for a call of the reference's."""
        return self._back_calls.get((reference, index), (self.back(reference), index))

    def _plain_call(self, candidate: str, index: int) -> Call:
        call = (self.path(candidate), index)
        return call if call not in self._targets else (candidate + UNMAPPED, index)
