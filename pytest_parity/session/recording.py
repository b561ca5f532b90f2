"""Recording: observations go into a golden."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch

from pytest_parity.capture import Capture, Streams, hyperparameters
from pytest_parity.compare.region import resolve
from pytest_parity.contract.environment import environment
from pytest_parity.contract.structure import describe
from pytest_parity.errors import GoldenError, GoldenNotFound, UsageError
from pytest_parity.golden.reader import Golden
from pytest_parity.golden.writer import GoldenWriter
from pytest_parity.names import BoundNames
from pytest_parity.result import Comparison, Recorded, Tolerance
from pytest_parity.session.run import LOADER, Run, Watching, kept, plain_regions
from pytest_parity.session.watch import Keep
from pytest_parity.settings import Settings
from pytest_parity.site import Kind, Site

__all__ = ["Recording"]


class Recording(Run):
    """Writes every observation as it comes; the golden takes its place when the test's body has passed."""

    def __init__(self, settings: Settings, streams: Streams) -> None:
        super().__init__(settings, streams)
        self._writer: GoldenWriter | None = None
        self._order = 0
        self._seen: set[Site] = set()
        self._info: dict[str, Any] = {}
        self._sizes: dict[str, list[int]] = {}
        """By kind: sites, and the bytes of their tensors."""
        self._steps: list[int] = []
        self._structure: dict[str, Any] = {}
        self._structure_alone = False
        self._device: torch.device | None = None
        self._notes: list[str] = []

    @property
    def writer(self) -> GoldenWriter:
        """The golden being written, begun by its first observation."""
        if self._writer is None:
            self._writer = GoldenWriter(self.settings.root, self.settings.case)
        return self._writer

    def observe(self, site: Site, value: torch.Tensor | None, call: Tolerance | None = None) -> None:  # noqa: ARG002
        """Write one observation; a site that the step has already keeps its first."""
        if self.skipping or site in self._seen:
            return
        assert self.step is not None
        self._seen.add(site)
        self.writer.write(self.step, self._order, site, value)
        self._order += 1
        size = self._sizes.setdefault(site.kind.value, [0, 0])
        size[0] += 1
        size[1] += 0 if value is None else value.numel() * value.element_size()
        if site.kind is Kind.LOSS and value is not None and value.numel() == 1:
            self._info.setdefault("loss", {})[site.leaf or site.path] = value.item()

    def end_value(self, site: Site) -> None:
        """Everything of it is written."""

    def make_capture(self, watching: Watching) -> Capture:
        """Describe the model and put it under observation; names are its own."""
        self.watching = watching
        self._structure = describe(watching.model).to_plain()
        self.capture = Capture(
            watching.model,
            self.observe,
            optimizers=watching.optimizers,
            streams=self.streams,
            names=BoundNames.identity(),
            kinds=watching.effective_kinds,
            replay=watching.replay,
            stepped=self._stepped,
            before_updates=self._before_updates,
        )
        self._device = next((tensor.device for tensor in self.capture.tensors.values()), None)
        return self.capture

    def batches(self, loader: Iterable[Any], limit: int | None, keep: Keep) -> Iterator[tuple[int, Any, bool]]:
        """Draw from the loader under the step's seeds, and keep what is drawn before the body can change it."""
        self.streams.seed_step(0, "batch")
        iterator = iter(loader)
        step = 0
        while limit is None or step < limit:
            self.streams.seed_step(step, "batch")
            try:
                batch = next(iterator)
            except StopIteration:
                break
            keeping = kept(keep, step)
            self.skipping = not keeping
            if keeping:
                self.begin(step)
                self._info["batch"] = self.observe_tree(LOADER, batch)
            self.streams.seed_step(step, "step")
            if keeping:
                self.begin_observing(batch)
            yield step, batch, keeping
            step += 1
        self.skipping = False
        self._check_ended(step, limit, keep)

    def _check_ended(self, steps: int, limit: int | None, keep: Keep) -> None:
        if steps == 0:
            raise UsageError(f"the loader of {self.settings.case} gave no batch, so there is no step to record")
        if isinstance(keep, Sequence) and max(keep) >= steps:
            raise UsageError(
                f"steps(limit={limit}, keep={list(keep)}): the loop ended after {steps} steps, the last being "
                f"{steps - 1}; raise the limit, or keep earlier steps"
            )

    def begin_observing(self, batch: Any) -> None:
        """Open the capture's step."""
        assert self.capture is not None
        assert self.watching is not None
        assert self.step is not None
        if self.watching.valid:
            self._info["valid"] = plain_regions(resolve(self.watching.valid, batch))
        self.capture.begin_step(self.step)

    def input(self, name: str, make: Callable[[], Any]) -> Any:
        """Draw an input under a seed of its own, and keep it as it was drawn."""
        self.begin(self.step or 0)
        value = self.streams.drawn(f"{self.step}|input {name}", make)
        self._info.setdefault("inputs", {})[name] = self.observe_tree(name, value)
        self.inputs[name] = value
        return value

    def load(self, model: torch.nn.Module, names: Any) -> None:
        """The reference has its own weights."""

    def structure(self, model: torch.nn.Module, names: Any) -> None:  # noqa: ARG002
        """Keep the structure, without a tensor."""
        self.begin(self.step or 0)
        self._structure = describe(model).to_plain()
        self._structure_alone = True

    def finish(self) -> Comparison | Recorded:
        """Commit the golden."""
        self.close_step()
        if self._writer is None or not (self._writer.sites or self._structure_alone):
            raise UsageError(
                f"{self.settings.case} has nothing to record: the test took the fixture parity and used none of it. "
                "Watch a model, or call parity.assert_close('name', value)."
            )
        writer = self.writer
        path = writer.commit(
            provenance={**self.settings.provenance, "environment": environment(self._device)},
            settings=self._settings(),
            structure=self._structure,
            history=self._history(),
        )
        steps = tuple(self._steps)
        self._writer = None
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        return Recorded(self.settings.case, steps, writer.sites, size, str(path), tuple(self._notes))

    def abandon(self) -> None:
        """Discard what was written; the golden that was there is untouched."""
        if self._writer is not None:
            self._writer.discard()
            self._writer = None

    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {"rng": self.streams.policy, "seed": self.streams.seed}
        if self.watching is not None:
            settings["kinds"] = sorted(self.watching.effective_kinds, key=list(Kind).index)
            settings["replay"] = list(self.watching.replay)
            settings["optimizers"] = [type(optimizer).__name__ for optimizer in self.watching.optimizers]
        return settings

    def _history(self) -> list[Any]:
        try:
            with Golden.find(self.settings.root, self.settings.case) as golden:
                return list(golden.manifest["history"])
        except GoldenNotFound:
            return []
        except GoldenError as error:  # what cannot be read may be recorded again: that is what its error says to do
            self._notes.append(f"the history of the golden that was there is lost: {error}")
            return []

    def _stepped(self, place: int) -> None:
        """Keep what the optimizer was set to when it stepped: a schedule may have moved on by the step's end."""
        assert self.capture is not None
        self._info.setdefault("hyperparameters", {})[str(place)] = hyperparameters(self.capture.optimizers[place])

    def _before_updates(self) -> None:
        """Keep which weights changed besides their optimizer's step: their update is not the optimizer's alone."""
        assert self.capture is not None
        changed = self.capture.changed_besides()
        if changed:
            self._info["changed_besides"] = changed

    def _open_step(self, step: int) -> None:
        self._order = 0
        self._seen = set()
        self._info = {}
        self._sizes = {}
        self._steps.append(step)

    def _close_step(self) -> None:
        self._info["sizes"] = self._sizes
        if self.capture is not None:
            self._info["updated"] = any(self.capture.steps_taken)
            self._info["optimizer_steps"] = list(self.capture.steps_taken)
            self._info["never_called"] = self.capture.modules.never_called
        assert self.step is not None
        self.writer.finish_step(self.step, self._info)
