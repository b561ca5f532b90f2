"""Flow: who takes in what a call returns, told from the bits of what was recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from pytest_parity.diagnose.step import Call, Step
from pytest_parity.golden.entry import Entry
from pytest_parity.site import Kind

__all__ = ["Flow"]


class Flow:
    """The reference's calls of one step, and the values between them."""

    def __init__(self, step: Step, entries: Mapping[int, Entry]) -> None:
        self._step = step
        self._entries = entries

    def children(self, call: Call | None) -> list[Call]:
        """The calls that a call's own code makes; of the test's own code the outermost calls."""
        return self._by_caller.get(None if call is None else (call.path, call.index), [])

    @cached_property
    def _by_caller(self) -> dict[tuple[str, int] | None, list[Call]]:
        found: dict[tuple[str, int] | None, list[Call]] = {}
        for one in self._step.calls.values():
            caller = self._step.caller(one)
            found.setdefault(None if caller is None else (caller.path, caller.index), []).append(one)
        return found

    def given(self, call: Call) -> frozenset[str]:
        """The digests of what a call was handed."""
        return self._digests(call, Kind.INPUT)

    def returned(self, call: Call) -> frozenset[str]:
        """The digests of what it has returned."""
        return self._digests(call, Kind.ACTIVATION)

    def _digests(self, call: Call, kind: Kind) -> frozenset[str]:
        return frozenset(self._entries[seen.order].digest for seen in call.sites if seen.site.kind is kind)

    def takers(self, call: Call) -> list[Call]:
        """The calls that were given what a call has returned, as it was, at any depth, in execution order."""
        digests = self.returned(call)
        behind = (other for other in self._step.calls.values() if other.start > call.end)
        return sorted((other for other in behind if digests & self.given(other)), key=lambda one: one.start)

    def producer(self, call: Call) -> Call | None:
        """The call that has returned what a call was given, as it was; the last one before it, and the innermost."""
        given = self.given(call)
        before = (other for other in self._step.calls.values() if other.end < call.start)
        found = [other for other in before if given & self.returned(other)]
        return max(found, key=lambda one: (one.end, one.start), default=None)

    def innermost(self, call: Call) -> Call:
        """The call that has made what a call returns: itself, or a child whose output it hands on as it is."""
        while True:
            inner = [one for one in self.children(call) if self.returned(one) & self.returned(call)]
            if not inner:
                return call
            call = max(inner, key=lambda one: one.end)

    def reached(self, frame: Call | None, call: Call) -> Iterator[Call]:
        """The calls that a frame's own code makes behind ``call``, and that get what nobody has returned as it is."""
        for child in self.children(frame):
            if child.start > call.end and self.given(child) - self._all_returned:
                yield child
                yield from self.reached(child, call)

    @cached_property
    def _all_returned(self) -> frozenset[str]:
        return frozenset(entry.digest for entry in self._entries.values() if entry.site.kind is Kind.ACTIVATION)

    def computes_behind(self, frame: Call | None) -> bool:
        """Whether a frame's own code makes something of what its children return, before it returns."""
        if frame is None:
            return True
        last = max(self.children(frame), key=lambda one: one.end, default=None)
        return last is None or not self.returned(last) & self.returned(frame)
