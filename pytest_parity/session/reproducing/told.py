"""Told: what a failing check left of a case, opened beside the golden that it was compared with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file

from pytest_parity.errors import UsageError
from pytest_parity.golden.entry import Entry
from pytest_parity.golden.reader import Golden
from pytest_parity.result import Diagnosis, Fault, Isolation
from pytest_parity.result.isolation import hint_of
from pytest_parity.session.described import DESCRIPTION, TENSORS
from pytest_parity.site import ROOT, Kind, Site

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Told"]


class Told:
    """A case's failure: the description, what is left of the candidate's tensors, the golden. A context manager.

    Raises ``UsageError`` where nothing was left, or the golden is another since, and ``GoldenError`` as ``Golden.open``.
    """

    def __init__(self, left: Path, root: Path, case: str) -> None:
        path = left / case / DESCRIPTION
        again = f"check it again: pytest --parity-case '{case}'"
        if not path.is_file():
            raise UsageError(
                f"no failing check of {case} has left a model's description in {left}; {_near(left, root, case) or again}"
            )
        self.content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if self.content.get("refused"):
            raise UsageError(f"the model of {case} could not be described: {self.content['refused']}")
        self.case = case
        self.step: int = self.content["step"]
        self.modules: dict[str, dict[str, Any]] = self.content["modules"]
        self.own = Golden.open(left / case)
        self.golden = Golden.find(root, case)
        if self.own.manifest["settings"].get("golden") != self.golden.manifest["digest"]:
            raise UsageError(
                f"the golden in {self.golden.path} is not the one that {case} was checked against; {again}"
            )
        self._kept = path.with_name(TENSORS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.own.close()
        self.golden.close()

    @cached_property
    def diagnosis(self) -> Diagnosis:
        """The first divergence."""
        plain = self.content["diagnosis"]
        causes = tuple(map(hint_of, plain["causes"]))
        return Diagnosis(**{**plain, "fault": Fault(plain["fault"]), "hints": tuple(plain["hints"]), "causes": causes})

    @cached_property
    def isolation(self) -> Isolation | None:
        """What each module adds of its own, where that was measured."""
        plain = self.content["isolation"]
        return plain and Isolation.from_plain(plain)

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """The golden's, of the step."""
        return self.golden.entries(self.step)

    @cached_property
    def _left(self) -> dict[Site, Entry]:
        return {one.site: one for one in self.own.entries(self.step)} if self.step in self.own.steps else {}

    @cached_property
    def _tensors(self) -> dict[str, torch.Tensor]:
        return load_file(self._kept) if self._kept.is_file() else {}

    def at(self, kind: Kind, path: str, call: int | None = None) -> dict[str, Entry]:
        """The golden's entries of a module call, or of a parameter, by leaf."""
        return {
            one.site.leaf: one
            for one in self.entries
            if one.site.kind is kind and one.site.path == path and one.site.call == call
        }

    def entry(self, kind: Kind, path: str) -> Entry | None:
        """The golden's entry of a parameter."""
        return self.golden.entry(self.step, Site(kind, path))

    def weight(self, name: str) -> torch.Tensor:
        """A tensor of the candidate's as its step began; raises ``UsageError`` where nobody has kept it."""
        if name in self._tensors:
            return self._tensors[name]
        site = Site(Kind.WEIGHT, self.content["names"].get(name, name))
        own = self._left.get(site)
        if own is not None:
            return self.own.tensor(own)
        entry = self.golden.entry(self.step, site)
        if entry is None:
            raise UsageError(f"neither the golden of {self.case} nor the check holds {name}")
        return self.golden.tensor(entry)

    def own_module(self, reference: str, call: int) -> str:
        """The key in ``modules`` of the candidate's counterpart of a call; empty where it has none."""
        own = self.content["calls"].get(f"{reference}#{call}", [""])[0]
        keys = (key for key, one in self.modules.items() if own in one["paths"])
        counterpart = (key for key, one in self.modules.items() if reference in one["reference"])
        return next(keys, "") if own else next(counterpart, "")

    def calls(self) -> Iterator[tuple[str, int]]:
        """The reference's module calls, as they began."""
        kinds = {Kind.INPUT, Kind.ACTIVATION}
        yield from dict.fromkeys(
            (one.site.path, one.site.call)
            for one in self.entries
            if one.site.kind in kinds and one.site.call is not None
        )

    def span(self, reference: str, call: int) -> tuple[float, float]:
        """Where in the execution order a call begins and ends."""
        starts = [one.order for one in self.at(Kind.INPUT, reference, call).values()]
        ends = [one.order for one in self.at(Kind.ACTIVATION, reference, call).values()]
        return min(starts or ends, default=-1), max(ends or starts, default=-1)

    def inside(self, key: str) -> list[str]:
        """The keys of a module and of everything in it."""
        found: dict[str, None] = {}
        waiting = [key]
        while waiting:
            one = waiting.pop(0)
            if one not in found:
                found[one] = None
                waiting += [child or ROOT for child in self.modules[one]["children"].values() if child is not None]
        return list(found)


def _near(left: Path, root: Path, case: str) -> str:
    """The name that was meant, where there is no golden of this one."""
    failed = [] if (root / case).is_dir() else [path.parent.relative_to(left) for path in left.rglob(DESCRIPTION)]
    near = get_close_matches(case, [path.as_posix() for path in failed], n=1)
    return f"did you mean {near[0]}?" if near else ""
