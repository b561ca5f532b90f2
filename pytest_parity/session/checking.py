"""Checking: observations are compared with a golden's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pytest_parity.capture import Capture, Streams, TensorTable, unpack
from pytest_parity.capture.arguments import Arguments, called_with
from pytest_parity.capture.probes import probe_inputs
from pytest_parity.compare.coverage import Ignore
from pytest_parity.compare.region import Region
from pytest_parity.compare.tolerance import Tolerances
from pytest_parity.compare.valid import resolve
from pytest_parity.contract.structure import describe
from pytest_parity.errors import GoldenError, LoadError, ParityFailure, UsageError
from pytest_parity.golden.reader import Golden
from pytest_parity.names.moves import in_reference
from pytest_parity.report import difference_list, failure_text
from pytest_parity.result import Comparison, Recorded, Tolerance
from pytest_parity.session.account import Account
from pytest_parity.session.asked import Asked
from pytest_parity.session.curves import JudgedCurves, leave_curves
from pytest_parity.session.described import leave_description
from pytest_parity.session.handing import handed_over
from pytest_parity.session.hints import explain_batch
from pytest_parity.session.probing import CheckedProbes
from pytest_parity.session.regions import recorded_regions
from pytest_parity.session.run import LOADER, Watching
from pytest_parity.session.surroundings import configured_differently
from pytest_parity.session.watch import Keep
from pytest_parity.settings import Batches, Mode, Settings
from pytest_parity.site import Kind, Site

__all__ = ["Checking", "checking"]


class Checking(Account):
    """Compares every observation as it comes."""

    told: Comparison | None = None
    """What it amounts to with what each module adds of its own, once that is known."""
    _called_with: dict[tuple[str, int], Arguments]
    _loaded = False
    """Whether the candidate has the reference's weights."""
    _first_called_with: dict[tuple[str, int], Arguments] | None = None
    """The arguments of the module calls of the first step that fails, where they are more than tensors."""
    isolates = False
    """Whether the reference's takes the place of every input, output and gradient of a module."""

    # a model under observation

    def make_capture(self, watching: Watching) -> Capture:
        """Compare the model's structure, then put it under observation by the reference's names."""
        self.watching = watching
        kinds = self._kinds(watching)
        self.counterpart.bind(watching.model, self.bound(watching.names))
        self._own = describe(watching.model)
        recording = self.settings.mode is Mode.RECORD  # its own draws judge nothing, and measure everything
        ignore = Ignore() if recording else self.comparator.ignore.plus(watching.ignore)
        if not self.counterpart.compare(self._own, ignore=ignore):
            raise self.failure()
        self.capture = Capture(
            watching.model,
            self.observe,
            optimizers=watching.optimizers,
            streams=self.streams,
            names=self.names,
            known=self.counterpart.known,
            kinds=kinds,
            replay=(*watching.replay, *self.reference.unstable),
            replayed=self._recorded_value,
            stepping=self._updates.stepping,
            stepped=self._updates.stepped,
            before_updates=self._updates.finishing,
            isolate=self._recorded_value if self.isolates else None,
        )
        if Kind.PROBE in kinds:
            self.capture.modules.probe = self._probes = CheckedProbes(self)
        self._updates.capture = self.capture
        compiled = frozenset(self.names.path(path) for path in self.capture.modules.compiled)
        self.comparator.configure(
            tolerances=Tolerances(self._levels(watching.tolerances)),
            kinds=kinds | {Kind.OUTPUT, Kind.LOSS},
            names=self.names,
            unobservable=compiled,
            replay=watching.replay,
            ignore=ignore,
            coverage=watching.coverage,
        )
        return self.capture

    def _kinds(self, watching: Watching) -> frozenset[Kind]:
        recorded = self._recorded_kinds
        if self.settings.probe and self.settings.mode is Mode.CHECK and Kind.PROBE not in recorded:
            raise UsageError(
                f"--parity-probe: the golden of {self.settings.case} has no probes. Record it with them: "
                f"{self.settings.recorded_by} --parity-probe; its checks then feed them without an option"
            )
        if watching.kinds is None:
            return recorded
        further = sorted(kind.value for kind in watching.effective_kinds - recorded)
        if further:
            raise UsageError(
                f"the golden of {self.settings.case} has no {', '.join(further)}, and this test watches it; "
                f"the golden has {', '.join(sorted(recorded)) or 'no watched model'}. Record it again: "
                f"{self.settings.recorded_by}"
            )
        return watching.effective_kinds | (recorded & {Kind.PROBE})

    def probe_inputs(self, name: str, recorded: Mapping[str, torch.Tensor], path: str) -> dict[str, torch.Tensor]:  # noqa: ARG002
        """What a probe feeds to a module in the place of the golden's inputs."""
        return probe_inputs(name, recorded)

    def load(self, model: torch.nn.Module, names: Any) -> None:
        """Copy the reference's initial weights in place; refused whole if anything does not fit."""
        self.counterpart.bind(model, self.bound(names))
        tensors = TensorTable(model, self.names.path, self.counterpart.known).now()
        ignore = self.comparator.ignore
        try:
            self.reference.load(
                tensors, self.names, excepted=lambda name: ignore.pattern(Site(Kind.WEIGHT, name)) is not None
            )
        except LoadError as error:
            configured = configured_differently(self.golden, self.settings)
            if not configured:
                raise
            raise LoadError(f"{error}\nThe configuration is not the golden's: {difference_list(configured)}") from None
        self._device = next((tensor.device for tensor in tensors.values()), self._device)
        if self.golden.manifest["settings"].get("loaded") and not self._loaded:
            self.begin(self.step or 0)
            for name, tensor in in_reference(self.names, tensors):
                self.observe(Site(Kind.WEIGHT, name), tensor)
        self._loaded = True

    def take_curve(self, asked: Asked) -> None:
        """Judge it; raises ``ParityFailure`` where it fails."""
        before = len(self.curves.comparisons)
        self.curves.take(asked)
        if not all(one.passed for one in self.curves.comparisons[before:]):
            raise self.failure()

    def structure(self, model: torch.nn.Module, names: Any) -> None:
        """Compare the structure, and count it."""
        self.begin(self.step or 0)
        self.counterpart.bind(model, self.bound(names))
        self._own = describe(model)
        if not self.counterpart.compare(self._own, alone=True):
            raise self.failure()

    # steps

    def batches(self, loader: Iterable[Any], limit: int | None, keep: Keep) -> Iterator[tuple[int, Any, bool]]:  # noqa: ARG002
        """Give the golden's own batches, each step from the reference's start where the weights were loaded."""
        assert self.capture is not None
        self.surroundings.draw_from(loader)
        steps = self._steps()
        self._check_freedom()
        for step in steps:
            if limit is not None and step >= limit:
                break
            self.begin(step)
            self.streams.seed_step(step, "batch")
            batch = self._recorded_batch(step)
            if self._loaded and not (self.free and step != steps[0]):
                if step - 1 not in self.golden.steps and step:  # no schedule of the candidate's has led here
                    self.reference.set_rates(step, self.capture.optimizers)
                self._restart(step)
            self.streams.seed_step(step, "step")
            self.begin_observing(batch)
            self._hints.under_way = step
            yield step, batch, True
            self._hints.under_way = None
        self.streams.seed_loop_end()

    def _steps(self) -> list[int]:
        """The steps that a loop is given."""
        steps = [step for step in self.golden.steps if self.reference.info(step).get("batch") is not None]
        if not steps:
            raise UsageError(
                f"{self.settings.case} was recorded without steps(); "
                f"record the case again, as the loop is now: {self.settings.recorded_by}"
            )
        return steps

    def take(self, step: int, batch: Any) -> Any:
        """Compare the loop's own batch, or put the golden's in its place; where weights were loaded, start as it did."""
        self.begin(step)
        if self.settings.batches is Batches.OWN:
            for path, tensor in self._drawn.see(step, batch):
                self.observe(Site(Kind.BATCH, LOADER, leaf=path), tensor)
        elif self.settings.batches is Batches.RECORDED and self.reference.info(step).get("batch") is not None:
            spec, where = self.reference.info(step)["batch"], f"the batch of step {step} of {self.settings.case}"
            batch = handed_over(batch, spec, lambda path: self._batch_tensor(LOADER, path), where)
        if self._loaded:
            self._restart(step)
        self.streams.seed_step(step, "step")
        self.begin_observing(batch)
        return batch

    def pass_by(self, step: int, batch: Any) -> None:
        """Of a step that the golden does not keep it may have the batch's digest."""
        if self.settings.batches is Batches.OWN:
            self._drawn.pass_by(step, batch, self.comparator.ignore)
        self.streams.seed_step(step, "step")

    def go_without_floors(self) -> None:
        """Have the dtypes' tolerances decide: the golden's floors are those of steps that start from its own weights."""
        self._drifts = self.golden.noise is not None
        self.golden.noise = None

    def _recorded_batch(self, step: int) -> Any:
        return unpack(self.reference.info(step)["batch"], lambda path: self._batch_tensor(LOADER, path))

    def _check_freedom(self) -> None:
        recorded = bool(self.golden.manifest["settings"].get("free"))
        if self._loaded and self.golden.noise is not None and recorded is not self.free:
            raise UsageError(
                f"steps(free={self.free}) of {self.settings.case}: the golden's noise floor is that of free={recorded}. "
                f"Record it again with the test as it is now: {self.settings.recorded_by}"
            )

    def _restart(self, step: int) -> None:
        """Judge the candidate's own optimizer state, then start the step where the reference started it."""
        assert self.capture is not None
        if step - 1 in self.golden.steps:  # else nothing of the candidate's led here
            self._leftovers.restarted(step)
            self.capture.observe_states()
            self.comparator.fill({Kind.OPTIMIZER})
            if not self.reference.info(step - 1).get("updated"):  # else what that step changed is judged as its update
                self._observe_weights()
        self.capture.refresh()
        self.reference.restart(step, self.capture)

    def _observe_weights(self) -> None:
        """Judge the weights that the candidate's step before has left, before the reference's take their place."""
        assert self.capture is not None
        self.capture.refresh()
        for name, tensor in self.capture.weights():
            self.comparator.see(Site(Kind.WEIGHT, name), tensor)
        self.comparator.fill({Kind.WEIGHT})
        self.comparator.forget_starts()

    def _batch_tensor(self, name: str, path: str) -> torch.Tensor:
        assert self.step is not None
        tensor = self.reference.tensor(self.step, Site(Kind.BATCH, name, leaf=path))
        return tensor.to(self.device)

    def begin_observing(self, batch: Any) -> None:
        """Open the capture's step, with the regions that the golden keeps."""
        assert self.capture is not None
        assert self.watching is not None
        assert self.step is not None
        self.comparator.regions = self._regions(self.watching, batch)
        self.capture.begin_step(self.step)

    def _regions(self, watching: Watching, batch: Any) -> Mapping[str, Region]:
        assert self.step is not None
        recorded, own = recorded_regions(self.golden, self.step), resolve(watching.valid, batch)
        if recorded is None:
            self._regions_declared.begin(own)
            return own
        self._regions_declared.beside(recorded, own)
        return recorded

    def input(self, name: str, make: Callable[[], Any]) -> Any:  # noqa: ARG002
        """Give the golden's input back."""
        self.begin(self.step or 0)
        assert self.step is not None
        spec = self.reference.info(self.step).get("inputs", {}).get(name)
        if spec is None:
            there = ", ".join(self.reference.info(self.step).get("inputs", {})) or "none"
            raise GoldenError(
                f"the golden of {self.settings.case} has no input {name!r} in step {self.step}; it has {there}. "
                f"Record it again: {self.settings.recorded_by}"
            )
        value = unpack(spec, lambda path: self._batch_tensor(name, path))
        self.inputs[name] = value
        return value

    # observations

    def observe(self, site: Site, value: torch.Tensor | None, call: Tolerance | None = None) -> None:
        """Compare one observation."""
        if self.surroundings.unread and site.kind is Kind.ACTIVATION:
            self.surroundings.read(self.device)
        self._regions_declared.see(site, value)
        if site.kind is Kind.UPDATED_WEIGHT and value is not None:
            own, alike = self._updates.own_decides(site.path), self.comparator.starts_equal(site.path)
            self.comparator.see_update(site, value, isolated=False, again=own or alike, alike=alike and not own)
        else:
            self.comparator.see(site, value, call)
            if site.kind is Kind.ACTIVATION and self._leaves:
                self._see_call()
            if site.kind is Kind.INPUT and self.comparator.differs(site):
                self._hints.see(self.comparator.step, self.comparator.entry(site), value)

    def _see_call(self) -> None:
        """With what the module was called that is returning, where its inputs' sites do not say it."""
        leaving = None if self.capture is None else self.capture.modules.leaving
        if leaving is not None and (leaving.path, leaving.index) not in self._called_with:
            arguments = called_with(leaving)
            if arguments is not None:
                self._called_with[leaving.path, leaving.index] = arguments

    def _recorded_value(self, site: Site) -> torch.Tensor | None:
        entry = self.comparator.entry(site)
        return None if entry is None or entry.dtype == "none" else self.golden.tensor(entry)

    def end_value(self, site: Site) -> None:
        """Leaves that the golden has of a value and the candidate has not are missing; raise if anything differs."""
        self.comparator.fill_value(site)
        if self.comparator.value_fails(site):
            raise self.failure()

    def explain(self, error: BaseException) -> None:
        """Where memory ran out, what of it is ours; of other errors, that they came on the golden's batch."""
        super().explain(error)
        if self.step not in {None, self.settled} and self._leaves:  # a run that draws, or tries faults, leaves nothing
            explain_batch(error, self.settings, self.golden, self.step, self._given())

    def _given(self) -> tuple[str, ...]:
        """What of the golden's batches the body was given: inputs by name, and what a loop yields."""
        replaced = self.settings.batches is Batches.RECORDED
        return (*self.inputs, LOADER) if replaced else tuple(self.inputs)

    # judging

    def judge(self, kinds: frozenset[Kind], call: Tolerance | None, where: str) -> None:
        """Judge what the current step has of ``kinds``: raises ``ParityFailure`` if anything of them fails."""
        if self.step is None or self.capture is None:
            raise UsageError(f"{where} judges a watched model; begin with: with parity.watch(model): ...")
        if call is not None:
            self.comparator.rejudge(kinds, call, where)
        self.comparator.fill(kinds)
        if not self.comparator.has(kinds):
            if self.comparator.excepts(kinds):
                return
            raise UsageError(
                f"{where} compares nothing: step {self.step} of {self.settings.case} has no "
                f"{' or '.join(sorted(kind.value for kind in kinds))} on either side. Was backward run before it?"
            )
        if self.comparator.fails(kinds):
            raise self.failure()

    def failure(self) -> ParityFailure:
        """The failure that everything known so far amounts to."""
        if self._leaves:
            self._leftovers.begin()
        comparison = self.comparison()
        return ParityFailure(failure_text(comparison), comparison)

    def finish(self) -> Comparison | Recorded:
        """Close the last step and judge everything that no helper did."""
        self._hints.left = self._hints.under_way
        self.close_step()
        self.curves.end()
        self.comparator.finish(lambda step: recorded_regions(self.golden, step) or {})
        comparison = self.comparison()
        problems = [*self.comparator.ignore.problems(), *self._regions_declared.problems()]
        if problems and comparison.passed:
            raise UsageError("; ".join(problems))
        if not comparison.passed:
            comparison = replace(comparison, notes=(*comparison.notes, *problems))
            self._leftovers.ended(comparison, map(str, self._recorded_kinds - self.comparator.kinds - {Kind.BATCH}))
            raise ParityFailure(failure_text(comparison), comparison)
        self._conclude(failed=False)
        return replace(comparison, notes=tuple(self._notes()))  # concluding may have left one

    def abandon(self) -> None:
        """Close files; what failed is left in ``--parity-out``."""
        self._conclude(failed=True)

    def _conclude(self, *, failed: bool) -> None:
        try:
            if self._leaves:
                self._leave_step()
                if not all(one.passed for one in self.curves.comparisons):
                    self._leftovers.cannot(
                        "a training curve fails, and the band of another is of runs that are to be made"
                    )
                self._leftovers.conclude(
                    failed=failed, environment=lambda: self.surroundings.read(self.device), beside=self._describe
                )
            self.comparator.close()
        finally:
            self.golden.close()

    def _describe(self, left: Path) -> None:
        """Describe the candidate, so that what is faulty can be built again alone."""
        if isinstance(self.curves, JudgedCurves):
            leave_curves(left, self.curves)
        if self.capture is not None:
            leave_description(
                left, self.golden, self.capture, self.told or self.comparison(), self._first_called_with or {}
            )

    def _open_step(self, step: int) -> None:
        self.comparator.begin(step)
        self._called_with = {}

    def _close_step(self) -> None:
        if self.capture is not None:
            never = set(self.capture.modules.never_called)
            self._never = never if self._never is None else self._never & never
        if self._leaves:
            self._leave_step()
        self._see_nonfinite()
        self._explain_step()
        self._updates.begin_step()
        self.comparator.end()

    def _leave_step(self) -> None:
        """Leave what fails of the current step, if there is one."""
        if self.step is None:
            return
        if self._first_called_with is None and self.comparator.first_failing_step:
            self._first_called_with = self._called_with
        own: dict[str, Any] = {}
        if self.capture is not None:
            own["hyperparameters"] = self._updates.hyperparameters
            if self._updates.changed_besides:
                own["changed_besides"] = self._updates.changed_besides
            own["optimizer_steps"] = list(self.capture.steps_taken)
            own["updated"] = any(self.capture.steps_taken)
        self._leftovers.take(self.comparator, own)


def checking(settings: Settings) -> Checking:
    """A check of the settings' case, with the random streams of its golden; raises ``GoldenNotFound`` where it has none."""
    held = settings.volatile
    golden = Golden.find(settings.root, settings.case) if held is None else held.golden()
    recorded = golden.manifest["settings"]
    streams = Streams(settings.case, policy=recorded["rng"], seed=recorded["seed"])
    return Checking(settings, streams, golden)
