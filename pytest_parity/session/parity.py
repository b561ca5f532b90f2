"""Parity: what a test holds. The same body records in the reference's environment and checks in the candidate's."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeVar

import torch

from pytest_parity.capture import POLICIES, Streams, kept_generators, leaves
from pytest_parity.compare.coverage import check_coverage, check_patterns
from pytest_parity.compare.tolerance import make
from pytest_parity.compare.valid import Valid
from pytest_parity.errors import ParityFailure, UsageError
from pytest_parity.golden.reader import Golden
from pytest_parity.result import Comparison, Recorded, Tolerance
from pytest_parity.session.asked import Asked
from pytest_parity.session.checking import Checking, checking
from pytest_parity.session.isolating import ISOLATED, Isolator, with_isolation
from pytest_parity.session.leak import MAGNITUDES, LeakCheck, look_for_leak
from pytest_parity.session.live import LivePairs
from pytest_parity.session.recording import Recording, recording
from pytest_parity.session.run import Run, Watching
from pytest_parity.session.together import together
from pytest_parity.session.watch import Watch
from pytest_parity.settings import Mode, Settings
from pytest_parity.site import INPUTS, Kind, Site

__all__ = ["Parity"]

Model = TypeVar("Model", bound=torch.nn.Module)

_ACTIVATIONS = frozenset({Kind.INPUT, Kind.ACTIVATION, Kind.ACTIVATION_GRADIENT})
_GRADIENTS = frozenset({Kind.GRADIENT})
_WEIGHTS = frozenset({Kind.WEIGHT, Kind.OPTIMIZER, Kind.UPDATED_WEIGHT})


class Parity(LivePairs):
    """One test's case, recording or checking.

    Helpers called while recording write and never raise a failure; called while checking they raise ``ParityFailure``
    with the first divergence in the first line. Tolerances are ``|actual - golden| <= atol + rtol * |golden|``, both of
    ``rtol`` and ``atol`` or neither, and hold for the call; see ``watch(tolerances=...)`` for more than one call.
    """

    def __init__(self, settings: Settings, run: Run | None = None) -> None:
        super().__init__(settings, drawn=run is not None)
        self.recording = settings.mode is Mode.RECORD
        self._watch: Watch | None = None
        self._padding: list[LeakCheck] = []
        if run is not None:
            self.__dict__["_run"] = run  # of a recording that is drawn from
        self._closing = ExitStack()
        if settings.marker.rng != "off":
            self._closing.enter_context(kept_generators())
            Streams(self.case, seed=settings.seed).seed_test()

    @cached_property
    def _run(self) -> Run:
        return recording(self.settings) if self.recording else checking(self.settings)

    @property
    def golden(self) -> Golden | None:
        """The golden that is compared with; ``None`` while recording."""
        return self._run.golden if isinstance(self._run, Checking) else None

    def left_alone(self) -> AbstractContextManager[None]:
        """Inside, the body may run again, even on the same model: that is then as it is now."""
        return self._run.left_alone()

    def jittered(self) -> AbstractContextManager[None]:
        """Inside, a run for the noise floor moves what each operation computes by one unit in the last place."""
        return self._run.jittered()

    # what goes in

    def load(self, model: Model, *, names: Any = None) -> Model:
        """Checking: copy the reference's initial parameters and persistent buffers into ``model``, in place.

        Before or after the optimizer was built. A name or a shape that does not fit raises ``LoadError``, and nothing
        is changed. From then on each step of a loop starts where the reference's did. Recording: nothing happens.
        """
        if not self._run.curves.aside:
            self._run.load(model, names)
        return model

    def input(self, name: str, make: Callable[[], Any]) -> Any:
        """An input by name: recording, what ``make()`` draws (and it is kept); checking, the kept one.

        Any tree of tensors, numpy arrays and plain values; checking, it is on the watched model's device.
        """
        return self._run.input(name, make)

    def watch(
        self,
        model: torch.nn.Module,
        *,
        optimizer: Any = None,
        kinds: Iterable[str] | None = None,
        names: Any = None,
        rng: str | None = None,
        valid: Mapping[str, Valid] | None = None,
        replay: Iterable[str] | None = None,
        tolerances: Mapping[str, Any] | None = None,
        ignore: Iterable[str] | None = None,
        coverage: float | None = None,
    ) -> Watch:
        """Observe a model, inside a ``with``, and in each step of ``.steps(loader)`` where there is a loop.

        ``optimizer`` is one or several. ``kinds`` names what is observed; default all but activation_gradient.
        ``names`` maps the candidate's names to the reference's. ``rng`` is ``"keyed"``, ``"global"`` or ``"off"``;
        checking, the golden's. ``valid`` gives regions by pattern of module paths, ``replay`` patterns of modules
        whose recorded output takes the place of their own, ``tolerances`` ``(rtol, atol)`` by kind or pattern of sites.
        ``ignore`` names sites that are not judged, besides the marker's; ``coverage`` is the share of the reference's
        module calls that must find a counterpart, default all.
        """
        if self._watch is not None:
            raise UsageError(
                f"{self.case} watches a model already, and a case has one: put several into a torch.nn.ModuleDict "
                "and watch that, or give each a test of its own"
            )
        marker = self.settings.marker
        if rng is not None:
            policy = _policy(rng)
            if self.recording:
                self._run.streams.policy = policy
        watching = Watching(
            model=model,
            optimizers=_optimizers(optimizer),
            kinds=marker.kinds if kinds is None else _kinds(kinds),
            names=names,
            valid=dict(marker.valid or {}) if valid is None else dict(valid),
            replay=marker.replay if replay is None else tuple(replay),
            tolerances=dict(tolerances or {}),
            ignore=() if ignore is None else check_patterns(ignore, "watch"),
            coverage=marker.coverage if coverage is None else check_coverage(coverage, "watch"),
            probes=self.settings.probe and self.recording,
        )
        self._watch = Watch(lambda: self._run.make_capture(watching), self._run)
        return self._watch

    # what comes out

    def assert_close(
        self,
        name: str,
        value: Any,
        *,
        rtol: float | None = None,
        atol: float | None = None,
        factor: float | None = None,
    ) -> None:
        """Any tensor, number or tree of them, by a name that is its own within the step."""
        self._assert_value(Site(Kind.OUTPUT, name), value, make(rtol, atol, f"assert_close({name!r})", factor))

    def assert_outputs(
        self, value: Any, *, rtol: float | None = None, atol: float | None = None, factor: float | None = None
    ) -> None:
        """The step's outputs: a tensor or a tree of tensors."""
        site = self._run.numbered(Site(Kind.OUTPUT, "outputs"))
        self._assert_value(site, value, make(rtol, atol, "assert_outputs", factor))

    def assert_loss(
        self, value: Any, *, rtol: float | None = None, atol: float | None = None, factor: float | None = None
    ) -> None:
        """The step's loss: a scalar tensor, a number, or a tree of them."""
        self._assert_value(self._run.numbered(Site(Kind.LOSS, "loss")), value, make(rtol, atol, "assert_loss", factor))

    def assert_activations(
        self, *, rtol: float | None = None, atol: float | None = None, factor: float | None = None
    ) -> None:
        """Every module call of the step so far: inputs, outputs, and their gradients where those are watched."""
        self._assert_captured(_ACTIVATIONS, make(rtol, atol, "assert_activations", factor), "assert_activations")

    def assert_gradients(
        self, *, rtol: float | None = None, atol: float | None = None, factor: float | None = None
    ) -> None:
        """Every trainable parameter's gradient, as the optimizer saw it."""
        self._assert_captured(_GRADIENTS, make(rtol, atol, "assert_gradients", factor), "assert_gradients")

    def assert_input_gradients(
        self, *, rtol: float | None = None, atol: float | None = None, factor: float | None = None
    ) -> None:
        """The gradient of every tensor that ``input`` gave in this step and that requires one."""
        call, run = make(rtol, atol, "assert_input_gradients", factor), self._run
        if run.skipping:
            return
        tensors_by_site = {
            Site(Kind.GRADIENT, f"{INPUTS}.{leaf}"): tensor
            for name, value in run.inputs.items()
            for leaf, tensor in leaves(value, name)
            if tensor is not None and tensor.requires_grad
        }
        if not tensors_by_site:
            raise UsageError(
                f"assert_input_gradients: no input of {self.case} requires a gradient; "
                "parity.input('x', lambda: torch.randn(4, 16, requires_grad=True)) gives one that does"
            )

        def observe() -> None:
            run.begin(run.step or 0)
            for site, tensor in tensors_by_site.items():
                run.observe(site, tensor.grad, call)
            for site in tensors_by_site:
                run.end_value(site)

        self._guarded(observe)

    def assert_weights(
        self, *, rtol: float | None = None, atol: float | None = None, factor: float | None = None
    ) -> None:
        """The weights and the optimizer's state at the step's start, and the update."""
        self._assert_captured(_WEIGHTS, make(rtol, atol, "assert_weights", factor), "assert_weights")

    def assert_step(
        self,
        *,
        outputs: Any = None,
        loss: Any = None,
        rtol: float | None = None,
        atol: float | None = None,
        factor: float | None = None,
    ) -> None:
        """All of a step in one line: outputs, loss, and every kind that is watched."""
        with self.collect():
            if outputs is not None:
                self.assert_outputs(outputs, rtol=rtol, atol=atol, factor=factor)
            if loss is not None:
                self.assert_loss(loss, rtol=rtol, atol=atol, factor=factor)
            watching = self._run.watching
            if watching is not None:
                call = make(rtol, atol, "assert_step", factor)
                watched = watching.effective_kinds & (_ACTIVATIONS | _GRADIENTS | _WEIGHTS)
                self._assert_captured(watched, call, "assert_step")

    def assert_curve(
        self,
        metrics: Any,
        *,
        name: str = "loss",
        seeds: Iterable[int] | None = None,
        checked: int = 1,
        rtol: float | None = None,
    ) -> None:
        """A training curve: complete, inside of the band of the recorded runs, and with no drift, spike or swing in it.

        ``metrics`` are the path of a metrics file, a ``Curve``, a ``MetricsWriter``, a dict of a metrics file's fields,
        the losses of steps 1 to n (a list, an array, a tensor), or a list of several of these, one a run. With ``seeds``
        it is a function ``train(seed)`` that returns one: recording trains with every seed, checking with the first
        ``checked``. Of one run the band comes from further runs of the test's body, whose weights, given by ``load``, are
        moved by one unit in the last place. With ``rtol`` each step is within ``rtol * |recorded|`` instead.
        """
        asked = Asked.of(metrics, name=name, seeds=seeds, checked=checked, rtol=rtol)
        self._guarded(lambda: self._run.take_curve(asked))

    def assert_structure(self, model: torch.nn.Module, *, names: Any = None) -> None:
        """The structure alone: names, shapes, dtypes, counts, what trains. No tensor is kept or compared."""
        self._guarded(lambda: self._run.structure(model, names))

    def assert_no_leak(
        self,
        model: torch.nn.Module,
        batch: Any,
        *,
        padded: Mapping[str, Valid] | Valid,
        valid: Mapping[str, Valid] | None = None,
        call: Callable[[Any], Any] | None = None,
        magnitudes: Sequence[float] = MAGNITUDES,
        rtol: float | None = None,
        atol: float | None = None,
    ) -> None:
        """Run the model with noise in the padding of a batch: nothing that is valid may move.

        See ``pytest_parity.assert_no_leak``, which does the same without a fixture. ``valid`` are the marker's regions
        where none are given. No golden is needed; recording, a leak of the reference is said in the outcome.
        """
        if self._watch is not None and self._watch.active:
            raise UsageError(
                "assert_no_leak runs the model more than once: call it before or after the with of watch()"
            )
        if self._drawn:
            return
        found = look_for_leak(
            model,
            batch,
            padded=padded,
            valid=self.settings.marker.valid if valid is None else valid,
            shared=valid is None,
            call=call,
            magnitudes=magnitudes,
            seed=self.settings.seed,
            tolerance=make(rtol, atol, "assert_no_leak"),
        )
        if found.leaks and not self.recording:
            raise ParityFailure(found.text)
        self._padding.append(found)

    @contextmanager
    def collect(self) -> Iterator[None]:
        """Gather the failures of what is inside, and raise once, at its end."""
        outer, self._collecting = self._collecting, True
        try:
            yield
        finally:
            self._collecting = outer
        if self._failed and not outer:
            self._failed = False
            raise self._failure()

    # the end

    def finish(self, again: Callable[[Run], None] | None = None) -> Comparison | Recorded:
        """Conclude after the body has passed: commit the golden, or judge every kind that no helper did.

        ``again`` runs the body again with a run in the recording's place, for the noise floor; see ``repeating``.
        """
        alone = None if "_run" in self.__dict__ else self._alone()
        if self._pairs_fail:  # gathered until now
            raise self._failure()
        if alone is not None:
            self.close()
            return replace(alone, notes=(*alone.notes, *self._padding_notes()))
        run = self._run
        self.close()
        result = run.finish(again) if isinstance(run, Recording) else run.finish()
        if isinstance(result, Comparison):
            result = self._with_pairs(result) or result
        return replace(result, notes=(*result.notes, *self._padding_notes()))

    def _alone(self) -> Comparison | None:
        """What there is without a golden; raises ``ParityFailure`` for padding that leaks, where that is all."""
        pairs = self._with_pairs(None)
        if pairs is not None or not self._padding:
            return pairs
        for one in self._padding:
            if one.leaks:
                raise ParityFailure(one.text)
        return together(self.case, [one.comparison for one in self._padding])

    def _padding_notes(self) -> Iterator[str]:
        """What noise in the padding did."""
        return (one.text.partition("\n")[0] for one in self._padding)

    def repeating(self, body: Callable[[Parity], object]) -> Callable[[Run], None]:
        """What ``finish`` needs to run a body again: a function of a ``Parity``."""

        def again(run: Run) -> None:
            parity = Parity(self.settings, run)
            try:
                body(parity)
            finally:
                parity.close()

        return again

    def isolated(self, comparison: Comparison, again: Callable[[Run], None]) -> Comparison:
        """A comparison with what is faulty by itself: the body is run again with every module alone, fed the golden's.

        ``again`` runs it, see ``repeating``. Of a check that failed, the step that failed first is looked at; of one that
        passed, every step. Where there is nothing to isolate, as it was.
        """
        run = self.__dict__.get("_run")
        if not isinstance(run, Checking) or run.watching is None:
            return comparison
        diagnosis = comparison.diagnosis
        if diagnosis is None and comparison.failing_curves:
            return comparison
        step = None if diagnosis is None else diagnosis.step
        if diagnosis is not None and (diagnosis.fault not in ISOLATED or step not in run.golden.steps):
            return comparison
        settings = replace(self.settings, collect=False, detail=False)
        with run.golden, run.left_alone(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they were given when the body ran first
            isolation = Isolator(settings, run.golden, again).run(step, run.comparator.first_failing_step)
        run.told = with_isolation(comparison, isolation)
        return run.told

    def abandon(self) -> None:
        """Conclude after the body has failed: the old golden is untouched. Does nothing a second time."""
        if "_run" in self.__dict__:
            self._run.abandon()
        self.close()

    def close(self) -> None:
        """Give the random generators back."""
        self._closing.close()

    def _own(self) -> Comparison | None:
        run = self.__dict__.get("_run")
        return run.comparison() if isinstance(run, Checking) else None

    def _failure(self) -> ParityFailure:
        return self._failure_with(self._own())

    # one place each for values and for what is captured

    def _assert_value(self, site: Site, value: Any, call: Tolerance | None) -> None:
        self._guarded(lambda: self._run.observe_value(site, value, call))

    def _assert_captured(self, kinds: frozenset[Kind], call: Tolerance | None, where: str) -> None:
        run = self._run
        if run.skipping:
            return
        if run.capture is None:
            raise UsageError(f"{where} is about a watched model: with parity.watch(model): ... comes first")
        if run.watching is not None and not kinds & run.watching.effective_kinds:
            raise UsageError(
                f"{where} is about {', '.join(sorted(kind.value for kind in kinds))}, and kinds= leaves them out"
            )
        if run.step is None:
            raise UsageError(f"{where} belongs inside the loop over steps(), or after the watch of a single step")
        if kinds & _GRADIENTS:
            run.capture.gradients()
        if kinds & _WEIGHTS:
            run.capture.updates()
        if Kind.ACTIVATION in kinds:
            kinds |= {Kind.PROBE}
        if isinstance(run, Checking):
            self._guarded(lambda: run.judge(kinds, call, where))

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except ParityFailure:
            if not self._collecting:
                raise
            self._failed = True


def _optimizers(optimizer: Any) -> tuple[torch.optim.Optimizer, ...]:
    given = () if optimizer is None else tuple(optimizer) if isinstance(optimizer, (list, tuple)) else (optimizer,)
    for one in given:
        if not isinstance(one, torch.optim.Optimizer):
            raise UsageError(f"optimizer= takes torch optimizers, one or several, and was given a {type(one).__name__}")
    return given


def _policy(rng: str) -> str:
    if rng not in POLICIES:
        raise UsageError(f"rng={rng!r} is none of {', '.join(POLICIES)}")
    return rng


def _kinds(kinds: Iterable[str]) -> frozenset[Kind]:
    if isinstance(kinds, str):
        raise UsageError(f"kinds={kinds!r} is one string, and several are asked for: ({kinds!r},)")
    kinds, known = tuple(kinds), [kind.value for kind in Kind]
    for kind in kinds:
        if kind not in known:
            raise UsageError(f"kinds={kind!r} is none of {', '.join(known)}")
    return frozenset(map(Kind, kinds))
