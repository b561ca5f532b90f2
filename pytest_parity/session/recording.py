"""Recording: observations go into a golden."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch

from pytest_parity.capture import Capture, Generators, Streams, hyperparameters
from pytest_parity.compare.vacant import all_nonfinite
from pytest_parity.compare.valid import resolve
from pytest_parity.contract.structure import describe
from pytest_parity.errors import GoldenError, GoldenNotFound, UsageError
from pytest_parity.golden.reader import Golden
from pytest_parity.golden.volatile import VolatileWriter
from pytest_parity.golden.writer import GoldenWriter
from pytest_parity.names import BoundNames
from pytest_parity.report import nonfinite_lines
from pytest_parity.result import Comparison, Moved, Recorded, Tolerance
from pytest_parity.session.asked import Asked
from pytest_parity.session.curves import RecordedCurves
from pytest_parity.session.drawing import Drawing
from pytest_parity.session.drawn import digest_of
from pytest_parity.session.memory import Loaded, Start
from pytest_parity.session.noise import Noise, rerunning
from pytest_parity.session.nonfinite import ends_nonfinite, of_golden
from pytest_parity.session.probing import RecordedProbes
from pytest_parity.session.regions import Declared, masks, plain_regions
from pytest_parity.session.rerecording import ENVIRONMENT, amended, check_reason, same_content, what_moved
from pytest_parity.session.run import LOADER, Run, Watching, kept
from pytest_parity.session.watch import Keep
from pytest_parity.settings import Settings
from pytest_parity.site import Kind, Site

__all__ = ["Recording", "recording"]

_GIVEN = frozenset({Kind.BATCH, Kind.WEIGHT})
_NOT_DRAWN = "the test was not run again: --parity-noise is 0"
_NOTHING_MOVED = "there is nothing to move by one unit in the last place, for the test gives no model to parity.load"


class Recording(Run):
    """Writes every observation as it comes; the golden takes its place when the test's body has passed."""

    curves: RecordedCurves

    def __init__(self, settings: Settings, streams: Streams) -> None:
        super().__init__(settings, streams)
        self._writer: GoldenWriter | VolatileWriter | None = None
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
        self._nonfinite: int | None = None
        """The first step of which something comes out that is not finite."""
        self._regions = Declared()
        self._probes: RecordedProbes | None = None
        self.moments: dict[int, Generators] = {}
        self.curves = RecordedCurves(self, self._keep_start)
        self._loaded: Loaded | None = None
        """A model that was loaded and is not watched: what a check of a curve starts from."""
        self._starts_loaded = False
        self._observed = False
        """Whether there is anything but batches and weights."""

    @property
    def writer(self) -> GoldenWriter | VolatileWriter:
        """The golden being written, begun by its first observation."""
        if self._writer is None:
            held, case = self.settings.volatile, self.settings.case
            self._writer = GoldenWriter(self.settings.root, case) if held is None else held.writer(case)
        return self._writer

    def observe(self, site: Site, value: torch.Tensor | None, call: Tolerance | None = None) -> None:  # noqa: ARG002
        """Write one observation; a site that the step has already keeps its first."""
        if self.skipping or site in self._seen:
            return
        assert self.step is not None
        self._seen.add(site)
        self._observed = self._observed or site.kind not in _GIVEN
        self._regions.see(site, value)
        if self.surroundings.unread and site.kind is Kind.ACTIVATION:
            self.surroundings.read(self._device)
        self._write(site, value)
        if self._nonfinite is None and ends_nonfinite(site, value):
            self._nonfinite = self.step
        size = self._sizes.setdefault(site.kind.value, [0, 0])
        size[0] += 1
        size[1] += 0 if value is None else value.numel() * value.element_size()
        if site.kind in {Kind.OUTPUT, Kind.LOSS} and value is not None and all_nonfinite(value):
            self._notes.append(f"{site} in step {self.step} has no finite element, which fails a check")
        if site.kind is Kind.LOSS and value is not None and value.numel() == 1:
            self._info.setdefault("loss", {})[site.leaf or site.path] = value.item()

    def _write(self, site: Site, value: torch.Tensor | None) -> None:
        assert self.step is not None
        self.writer.write(self.step, self._order, site, value)
        self._order += 1

    def end_value(self, site: Site) -> None:
        """Everything of it is written."""

    def make_capture(self, watching: Watching) -> Capture:
        """Describe the model and put it under observation; names are its own."""
        if self._starts_loaded:
            raise UsageError(
                f"{self.settings.case} watches a model after assert_curve, whose check starts from the weights that load "
                "was given: watch it before, or in a test of its own"
            )
        self._loaded = None
        self.watching = watching
        self._structure = describe(watching.model).to_plain()
        if self.settings.draws:
            self.start = Start.of(watching.model, watching.optimizers)
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
        if Kind.PROBE in watching.effective_kinds:
            self._probes = self.capture.modules.probe = RecordedProbes(self)
        return self.capture

    def batches(self, loader: Iterable[Any], limit: int | None, keep: Keep) -> Iterator[tuple[int, Any, bool]]:
        """Draw from the loader under the step's seeds, and keep what is drawn before the body can change it."""
        self.surroundings.draw_from(loader)
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
                self.take(step, batch)
            else:
                self.pass_by(step, batch)
            yield step, batch, keeping
            step += 1
        self.skipping = False
        self.streams.seed_loop_end()
        self._check_ended(step, limit, keep)

    def take(self, step: int, batch: Any) -> Any:
        """Keep the batch as it is now, and open the step."""
        self.begin(step)
        if batch is not None:
            self._info["batch"] = self.observe_tree(LOADER, batch)
            self.writer.put_batch(step, digest_of(step, batch))
        self.streams.seed_step(step, "step")
        self.begin_observing(batch)
        return batch

    def pass_by(self, step: int, batch: Any) -> None:
        """Of the batch of a step that is not kept, keep the digest."""
        if batch is not None:
            self.writer.put_batch(step, digest_of(step, batch))
        self.streams.seed_step(step, "step")

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
            regions = resolve(self.watching.valid, batch)
            self._regions.begin(regions)
            self._info["valid"] = plain_regions(regions)
            for site, mask in masks(regions):
                self._write(site, mask)
        if self.settings.draws and self.streams.policy == "off":
            self.moments[self.step] = Generators.now()
        self.capture.begin_step(self.step)

    def input(self, name: str, make: Callable[[], Any]) -> Any:
        """Draw an input under a seed of its own, and keep it as it was drawn."""
        self.begin(self.step or 0)
        value = self.streams.drawn(f"{self.step}|input {name}", make)
        self._info.setdefault("inputs", {})[name] = self.observe_tree(name, value)
        self.inputs[name] = value
        return value

    def load(self, model: torch.nn.Module, names: Any) -> None:  # noqa: ARG002
        """The reference has its own weights; they are kept as long as it is not known whether a curve starts there."""
        if self._watches_nothing and not self.curves.aside:
            self._loaded = Loaded.of(model)

    @property
    def _watches_nothing(self) -> bool:
        return self.watching is None and self._loaded is None and self.settings.volatile is None

    def take_curve(self, asked: Asked) -> None:
        """Keep it."""
        self.curves.take(asked)

    def _keep_start(self) -> None:
        """Record the weights that a curve started from, where no watch does."""
        loaded, self._loaded = self._loaded, None
        if loaded is None:
            return
        self._starts_loaded = True
        self._structure = loaded.structure
        self.begin(self.step or 0)
        for name, tensor in loaded.tensors.items():
            self.observe(Site(Kind.WEIGHT, name), tensor)

    def structure(self, model: torch.nn.Module, names: Any) -> None:  # noqa: ARG002
        """Keep the structure, without a tensor."""
        self.begin(self.step or 0)
        self._structure = describe(model).to_plain()
        self._structure_alone = True

    def finish(self, again: Callable[[Drawing], None] | None = None) -> Comparison | Recorded:
        """Commit the golden, with the noise floor where ``again`` can run the test's body with another run."""
        self.close_step()
        if self._probes is not None:
            self._notes += self._probes.notes()
        elif self.settings.probe and self.watching is not None:
            self._notes.append("no probes: they are made of what modules are given, and kinds= leaves input out")
        curves = self.curves.kept
        if not curves and (self._writer is None or not (self._writer.sites or self._structure_alone)):
            raise UsageError(
                f"{self.settings.case} has nothing to record: the test took the fixture parity and used none of it. "
                "Watch a model, or call parity.assert_close('name', value)."
            )
        if problems := list(self._regions.problems()):
            raise UsageError("; ".join(problems))
        writer = self.writer
        writer.put_curves(curves)
        content: dict[str, Any] = {
            "provenance": {**self.settings.provenance, "environment": self.surroundings.read(self._device)},
            "settings": self._settings(),
            "structure": self._structure,
            "history": [],
        }
        if self._nonfinite is not None and self.settings.volatile is None:
            self._say_nonfinite(writer.seal(**content), self._nonfinite)
        before = self._before(content["provenance"])
        if self.settings.draws and writer.sites and (self._observed or not (curves and self.curves.banded)):
            self._measure(writer.seal(**content), again)
        elif curves:
            self._notes += self.curves.notes(_NOT_DRAWN if not self.settings.draws else _NOTHING_MOVED)
        moved = None if before is None else self._replace(before, writer, content)
        path = writer.commit(**content)
        steps = tuple(self._steps)
        self._writer = None
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        notes = tuple(self._notes)
        return Recorded(self.settings.case, steps, writer.sites, size, str(path), notes, moved, tuple(curves))

    def _say_nonfinite(self, golden: Golden, step: int) -> None:
        """Read the step back: where it began."""
        with golden:
            found = of_golden(golden, step)
        self._notes += nonfinite_lines(found) if found is not None else ()

    def _measure(self, golden: Golden, again: Callable[[Drawing], None] | None) -> None:
        if again is None:
            self._notes.append(
                "no noise floor: the test cannot be run again, for it is one of unittest, or has parity from "
                "request.getfixturevalue and not as an argument. Checks of this golden use the dtypes' default tolerances"
            )
            self._notes += self.curves.notes("the test cannot be run again")
            return
        with golden, self.left_alone():
            volatile = self.settings.volatile is not None
            rerun = rerunning(self, golden, again)
            noise = Noise(golden, rerun, self.settings.draws, self.settings.seed, volatile=volatile)
            noise.measure()
        self._notes.append(noise.note)
        if noise.floors is not None:
            self.writer.put_noise(noise.floors)
            self.curves.add(noise.curves)
            self.writer.put_curves(self.curves.kept)
        self._notes += self.curves.notes("" if noise.floors is not None else "the noise floor could not be measured")

    def abandon(self) -> None:
        """Discard what was written; the golden that was there is untouched."""
        if self._writer is not None:
            self._writer.discard()
            self._writer = None

    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {"rng": self.streams.policy, "seed": self.streams.seed}
        if self.settings.profile:
            settings["profile"] = self.settings.profile
        if self.settings.config is not None:
            settings["config"] = self.settings.config
        if self._starts_loaded:
            settings["loaded"] = True
        if self.watching is not None:
            settings["kinds"] = sorted(self.watching.effective_kinds, key=list(Kind).index)
            settings["replay"] = list(self.watching.replay)
            settings.update({"free": True} if self.free else {})
            settings["optimizers"] = [type(optimizer).__name__ for optimizer in self.watching.optimizers]
        return settings

    def _before(self, provenance: dict[str, Any]) -> Golden | None:
        """The golden that this one takes the place of, if it can be read; the reason given must fit it."""
        if self.settings.volatile is not None:
            return None
        try:
            golden = Golden.find(self.settings.root, self.settings.case)
        except GoldenNotFound:
            return None
        except GoldenError as error:  # what cannot be read may be recorded again: that is what its error says to do
            if self.settings.reason == ENVIRONMENT:
                raise UsageError(
                    f"the reason {ENVIRONMENT!r} cannot be checked, since the golden that is there cannot be read: {error}"
                ) from error
            self._notes.append(f"the history of the golden that was there is lost: {error}")
            return None
        check_reason(self.settings.case, self.settings.reason, golden.manifest["provenance"], provenance)
        return golden

    def _replace(self, before: Golden, writer: GoldenWriter | VolatileWriter, content: dict[str, Any]) -> Moved | None:
        """What moved since the golden that was there; ``content`` gets its history, with a line for it."""
        content["history"] = before.manifest["history"]
        with before, writer.seal(**content) as draft:
            try:
                moved = what_moved(before, draft, reason=self.settings.reason, factor=self.settings.factor)
            except GoldenError as error:
                self._notes.append(f"what moved cannot be told: {error}")
                moved = Moved({}, reason=self.settings.reason)
            if not same_content(before, draft):
                content["history"] = amended(before.manifest["history"], moved, content["provenance"])
        return moved if moved.counts or moved.curves else None

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


def recording(settings: Settings) -> Recording:
    """A recording as the settings say."""
    return Recording(settings, Streams(settings.case, policy=settings.marker.rng or "keyed", seed=settings.seed))
