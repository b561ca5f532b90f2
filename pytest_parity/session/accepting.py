"""Accepting: what a failing check left becomes part of the golden that it was checked against.

The golden is written anew beside itself, and takes its own place in one operation: its tensors, but at the sites that
were left the candidate's. No noise floor was measured around those: they have none until the case is recorded again.
"""

from __future__ import annotations

import copy
import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch

from pytest_parity.contract.environment import differences
from pytest_parity.errors import GoldenError, UsageError
from pytest_parity.golden.cases import cases
from pytest_parity.golden.entry import NONE, Entry
from pytest_parity.golden.manifest import read_manifest
from pytest_parity.golden.noise import NoiseFloors, row
from pytest_parity.golden.reader import Golden
from pytest_parity.golden.writer import GoldenWriter
from pytest_parity.result import Moved
from pytest_parity.session.rerecording import amended, check_reason, what_moved
from pytest_parity.site import Kind, Site

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Acceptance", "left_cases"]

_OWN = ("hyperparameters", "changed_besides", "optimizer_steps", "updated")
"""What the manifest says of a step's optimizers."""


def left_cases(out: Path) -> tuple[str, ...]:
    """The cases of which a failing check left something below ``out``, and those of which it cannot be known any more."""
    return tuple(case for case in cases(out) if _may_be_left(out / case))


def _may_be_left(path: Path) -> bool:
    try:
        return read_manifest(path)["settings"].get("failing") is True
    except GoldenError:  # whoever opens it is told
        return True


class Acceptance:
    """One case, prepared: ``moved`` says what accepting moves; then ``commit``, or nothing changes. A context manager.

    Raises ``UsageError`` where what was left cannot be promoted, with what to type instead, and ``GoldenError`` where
    it, or the golden, cannot be read or written. The golden is untouched then. ``advance`` is told of bytes done.
    """

    def __init__(
        self,
        out: Path,
        root: Path,
        case: str,
        *,
        reason: str = "",
        advance: Callable[[int], None] = lambda _bytes: None,
    ) -> None:
        self.case = case
        self._advance = advance
        self.dropped = 0
        """Noise floors that are measured around values which are replaced."""
        self._left_path = out / case
        with Golden.find(out, case) as left, Golden.find(root, case) as golden:
            self._check(left, golden, reason)
            self._history: list[Any] = golden.manifest["history"]
            self._manifest = golden.manifest
            self._environment = left.manifest["provenance"]
            self._writer = GoldenWriter(root, case)
            try:
                self.moved = self._compose(left, golden, reason)
            except BaseException:
                self._writer.discard()
                raise

    def commit(self) -> Path:
        """Put the golden in its place, with a line in its history, and remove what the check had left."""
        history = amended(self._history, self.moved, self._environment, accepted=True, floors_dropped=self.dropped)
        path = self._writer.commit(**_content(self._manifest), history=history)
        shutil.rmtree(self._left_path, ignore_errors=True)
        return path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.discard()

    def _check(self, left: Golden, golden: Golden, reason: str) -> None:
        settings = left.manifest["settings"]
        if settings.get("failing") is not True:
            raise UsageError(f"{left.path} is a golden that was recorded, and not what a failing check left")
        if settings.get("obstacle"):
            raise UsageError(f"{self.case} cannot be accepted: {settings['obstacle']}")
        if settings.get("golden") != golden.manifest["digest"]:
            raise UsageError(
                f"{self.case} cannot be accepted: the golden in {golden.path} is not the one that it was checked "
                f"against; check it again: pytest --parity-collect --parity-case '{self.case}'"
            )
        check_reason(self.case, reason, golden.manifest["provenance"], left.manifest["provenance"])

    def _compose(self, left: Golden, golden: Golden, reason: str) -> Moved:
        floors: dict[int, list[tuple[float, ...]]] = {}
        for step in golden.steps:
            entries = {entry.site: entry for entry in left.entries(step)} if step in left.steps else {}
            floors[step] = self._floors(golden, step, frozenset(entries))
            told = left.manifest["steps"].get(str(step), {})
            info = copy.deepcopy(golden.manifest["steps"][str(step)])
            if told.get("own"):
                info = {name: value for name, value in info.items() if name not in _OWN} | told["own"]
            for entry in golden.entries(step):
                other = entries.pop(entry.site, None)
                value = _tensor(golden, entry) if other is None else _tensor(left, other)
                self._writer.write(step, entry.order, entry.site, value)
                self._advance(entry.nbytes)
                if other is not None:
                    _amend(info, entry, other, value)
            if entries:
                raise GoldenError(f"{next(iter(entries))} of step {step} was left, and the golden has no such site")
            self._writer.finish_step(step, info)
        if golden.noise is not None:
            self._writer.put_noise(NoiseFloors(golden.noise.draws, floors))
        self._writer.put_curves(golden.curves)
        with self._writer.seal(**_content(golden.manifest), history=self._history) as draft:
            moved = what_moved(golden, draft, reason=reason)
        return _with_changes(moved, golden.manifest["provenance"], left.manifest["provenance"])

    def _floors(self, golden: Golden, step: int, replaced: frozenset[Site]) -> list[tuple[float, ...]]:
        """The step's rows, without those of the sites that are replaced."""
        rows = list(map(tuple, golden.noise.steps.get(step, ()))) if golden.noise is not None else []
        for entry in golden.entries(step) if rows else ():
            if entry.site in replaced and entry.order < len(rows) and not math.isnan(rows[entry.order][0]):
                rows[entry.order] = row(None)
                self.dropped += 1
        return rows


def _content(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {name: manifest[name] for name in ("provenance", "settings", "structure")}


def _tensor(golden: Golden, entry: Entry) -> torch.Tensor | None:
    return None if entry.dtype == NONE else golden.tensor(entry)


def _amend(info: dict[str, Any], before: Entry, after: Entry, value: torch.Tensor | None) -> None:
    """What the manifest says of a step besides its tensors: bytes by kind, and losses."""
    site = before.site
    if site.kind.value in info.get("sizes", {}):
        info["sizes"][site.kind.value][1] += after.nbytes - before.nbytes
    if site.kind is Kind.LOSS:
        losses, name = info.get("loss"), site.leaf or site.path
        if isinstance(losses, dict):
            losses.pop(name, None)
            if value is not None and value.numel() == 1:
                losses[name] = value.item()


def _with_changes(moved: Moved, before: Mapping[str, Any], after: Mapping[str, Any]) -> Moved:
    """The environment of the check, beside the golden's."""
    return replace(moved, changes=differences(before.get("environment", {}), after.get("environment", {})))
