"""Drawing: a recording's test run again, against what it has just recorded, with everything moved that must not matter.

A draw is a check of the reference against itself in which nothing is judged and everything measured. Weights, buffers,
batches and inputs are the recorded ones; the first run again moves nothing, and must give the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch.utils.hooks import RemovableHandle

from pytest_parity.capture import Capture, Generators, Streams
from pytest_parity.capture.probes import is_changed
from pytest_parity.compare.comparator import Comparator
from pytest_parity.golden.reader import Golden
from pytest_parity.result import Tolerance
from pytest_parity.session.checking import Checking
from pytest_parity.session.curves import DrawnCurves
from pytest_parity.session.jitter import Jitter
from pytest_parity.session.memory import Start
from pytest_parity.session.moving import MovedReference, move_outputs
from pytest_parity.session.nudging import Nudging
from pytest_parity.session.reference import Reference
from pytest_parity.session.run import Watching
from pytest_parity.settings import Settings
from pytest_parity.site import Kind, Site

__all__ = ["Drawing"]


class Drawing(Checking):
    """One run of a test's body again. ``comparator`` measures, or, in the run that moves nothing, compares."""

    def __init__(
        self,
        settings: Settings,
        streams: Streams,
        golden: Golden,
        *,
        reference: Reference,
        comparator: Comparator,
        start: Start | None,
        moments: Mapping[int, Generators],
        replay: tuple[str, ...] = (),
    ) -> None:
        super().__init__(settings, streams, golden, reference=reference, comparator=comparator)
        self._start = start
        self._moments = moments
        self._unstable = replay
        self._handles: list[RemovableHandle] = []
        self._jitter = Jitter(self._moved_output)
        self._nudging: Nudging | None = None
        if isinstance(reference, MovedReference) and self.drawn_curves.kept_here:
            self._nudging = Nudging(reference.number("nudge"), lambda: self._under_watch)

    _explains = False

    def _judging(self) -> DrawnCurves:
        self.drawn_curves = DrawnCurves(self, self.golden, keeps=True)
        return self.drawn_curves

    @property
    def _under_watch(self) -> bool:
        return self.capture is not None and self.capture.modules.step is not None

    @property
    def _leaves(self) -> bool:
        return False

    def make_capture(self, watching: Watching) -> Capture:
        """Put the recorded start back, move it, and watch by the reference's own names."""
        if self._start is not None:
            self._start.put_back(watching.model, watching.optimizers)
        capture = super().make_capture(replace(watching, replay=(*watching.replay, *self._unstable), tolerances={}))
        if isinstance(self.reference, MovedReference):
            with torch.no_grad():
                for name, tensor in capture.tensors.items():
                    if tensor.requires_grad:
                        tensor.copy_(self.reference.moved(tensor, f"start|{name}"))
            self._handles = move_outputs(watching.model, self._moved_output)
        if self._nudging is not None:
            self._nudging.follow(watching.model)
        return capture

    def _moved_output(self, value: torch.Tensor, name: str) -> torch.Tensor:
        assert isinstance(self.reference, MovedReference)
        return self.reference.moved(value, f"{self.step}|output {name}")

    @contextmanager
    def jittered(self) -> Iterator[None]:
        """What is compiled is not looked into."""
        if not isinstance(self.reference, MovedReference) or (self.capture and self.capture.modules.compiled):
            yield
            return
        with self._jitter:
            yield

    def observe(self, site: Site, value: torch.Tensor | None, call: Tolerance | None = None) -> None:
        """Measure, and move nothing by it."""
        with self._jitter.paused():
            super().observe(site, value, call)

    def probe_inputs(self, name: str, recorded: Mapping[str, torch.Tensor], path: str) -> dict[str, torch.Tensor]:
        """The same, moved, also what is whole: bfloat16 has no other numbers above 256."""
        with self._jitter.paused():
            given = super().probe_inputs(name, recorded, path)
            if not isinstance(self.reference, MovedReference):
                return given
            return {
                leaf: self.reference.moved(one, f"probe {path}|{name}|{leaf}", whole=True).to(one.device)
                if is_changed(recorded[leaf])
                else one
                for leaf, one in given.items()
            }

    def bound(self, names: Any) -> Any:  # noqa: ARG002
        """The names are the reference's own."""
        return None

    def load(self, model: torch.nn.Module, names: Any) -> None:
        """Weights are put back, and moved, when a watch begins; here where none does, and a curve starts from them."""
        if not self.golden.manifest["settings"].get("loaded"):
            self._loaded = True
            return
        super().load(model, names)
        if self._nudging is not None:
            self._nudging.follow(model)

    def begin_observing(self, batch: Any) -> None:
        """Under ``rng="off"`` the generators are where they were after the batch was drawn."""
        assert self.step is not None
        if self.streams.policy == "off" and self.step in self._moments:
            self._moments[self.step].put_back()
        super().begin_observing(batch)

    def judge(self, kinds: frozenset[Kind], call: Tolerance | None, where: str) -> None:  # noqa: ARG002
        """Nothing is judged; what is missing, or of another shape, ends the draw."""
        self.comparator.fill(kinds)
        if self.comparator.fails(kinds):
            raise self.failure()

    def _conclude(self, *, failed: bool) -> None:  # noqa: ARG002
        for handle in self._handles:
            handle.remove()
        if self._nudging is not None:
            self._nudging.end()
        self.comparator.close()
