"""Lightning callbacks: ``ParityRecord`` and ``ParityCheck``, for a ``Trainer`` of ``pytorch_lightning`` or of ``lightning.pytorch``.

Both packages are in use, and a callback of one is none of the other: what is made here is one of each that is imported.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pytest_parity.errors import ParityError, ParityFailure, UsageError

if TYPE_CHECKING:
    from typing_extensions import Self

    from pytest_parity.compare.valid import Valid
    from pytest_parity.result import Comparison, Recorded
    from pytest_parity.session.driven import Driven
    from pytest_parity.session.script import Outcome, Plan

__all__ = ["ParityCheck", "ParityRecord", "from_environment"]

_PACKAGES = ("lightning.pytorch", "pytorch_lightning")


class _Callback:
    """What both do: the trainer's batches are the steps, numbered as it counts them over epochs, on from a checkpoint's.

    A step is one batch: with gradient accumulation most have no updated weights. Gradients are those that the optimizer
    steps by: unscaled, clipped, averaged over ranks. Sanity checking and validation are no steps. When the last step
    that is kept is over, the hooks come off.
    """

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self:
        """An object that is a callback to every Lightning package that is imported."""
        own: type[Self] = type(cls.__name__, (cls, *_bases()), {"__module__": cls.__module__, "__doc__": cls.__doc__})
        return object.__new__(own)

    def __init__(self, plan: Plan, *, handed: bool = False) -> None:
        self._plan = plan
        self._handed = handed
        """Whether it comes from ``parity record|check``: nothing of it may end the script, or be raised in it."""
        self._driven: Driven | None = None
        self._watched = False
        self._rank = 0
        self._outcome: Outcome | None = None
        self._error: ParityError | None = None
        self.comparison: Comparison | None = None
        """After training, what a check compared."""
        self.recorded: Recorded | None = None
        """After training, what a recording left."""

    def __reduce__(self) -> Any:
        """Made anew where a launcher sends it to another process: its class is not importable."""
        return _made, (type(self).__mro__[1], self._plan, self._handed)

    @property
    def state_key(self) -> str:
        """One for each case, so that a trainer may have several."""
        return f"{type(self).__name__}{{'case': {self._plan.case!r}}}"

    # the trainer's hooks

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:  # noqa: ARG002  Lightning's signature
        """Open the case, so that what is wrong with it is said before anything is trained."""
        if stage != "fit":
            return
        self._rank = trainer.global_rank
        plan = self._plan.for_rank(self._rank)
        if plan is None or (self._handed and not plan.claim(self._rank)):
            return
        self._drop()
        self._outcome = self._error = self.comparison = self.recorded = None
        try:
            self._plan_here, self._driven = plan, plan.driven()
        except ParityError as error:
            self._fail(error)

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Seed the first batch: the loader's iterator is made before training starts."""
        self._seed(trainer)

    def on_sanity_check_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Seed the first batch again, after validation has drawn."""
        self._seed(trainer)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Put the model under observation; weights that a checkpoint holds are in it by now."""
        driven = self._driven
        if driven is None:
            return
        try:
            driven.watch(self._plan_here.watching(pl_module, tuple(trainer.optimizers)))
        except ParityFailure:
            self._conclude()
            return
        except ParityError as error:
            driven.abandon()
            self._fail(error)
            return
        self._watched = True
        self._wrap(trainer, pl_module)
        self._seed(trainer)

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Seed the epoch's first batch."""
        self._seed(trainer)

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Any) -> None:  # noqa: ARG002
        """Take the loss, where the step does its own backward; else it is what the step returns."""
        if self._watched and not pl_module.automatic_optimization:
            self._loss(loss)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
        """End the step."""
        if self._driven is None or not self._watched:
            return
        self._driven.end()
        if self._driven.over:
            self._unwrap(pl_module)
            self._conclude()
        else:
            self._seed(trainer)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Seed the next batch again, after validation has drawn."""
        if self._watched:
            self._seed(trainer)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Conclude; a check that failed is raised here."""
        self._unwrap(pl_module)
        self._conclude()
        if self._error is not None and not self._handed:
            raise self._error

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:  # noqa: ARG002
        """Give up: a recording is discarded."""
        self._unwrap(pl_module)
        if self._driven is not None:
            self._driven.abandon()
            self._driven = None
            self._leave_error(
                UsageError(f"{self._plan.case}: the training ended in {type(exception).__name__}: {exception}")
            )

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:  # noqa: ARG002
        """Let go of what a training that never started has left open."""
        self._drop()

    # what they lead to

    def _seed(self, trainer: Any) -> None:
        if self._driven is not None:
            self._driven.seed_batch(trainer.fit_loop.epoch_loop.batch_progress.total.ready)

    def _wrap(self, trainer: Any, pl_module: Any) -> None:
        """Begin each step where the model's own code gets the batch."""
        driven, step = self._driven, pl_module.training_step
        assert driven is not None

        @functools.wraps(step)
        def training_step(*args: Any, **kwargs: Any) -> Any:
            number = trainer.fit_loop.total_batch_idx
            if "batch" in kwargs:
                kwargs["batch"] = driven.begin(number, kwargs["batch"])
            elif args and not hasattr(args[0], "__next__"):
                args = (driven.begin(number, args[0]), *args[1:])
            else:  # a step that draws for itself: what it draws is not seen
                driven.begin(number, None)
            result = step(*args, **kwargs)
            if pl_module.automatic_optimization:
                self._values(result)
            return result

        pl_module.__dict__["training_step"] = training_step

    def _unwrap(self, pl_module: Any) -> None:
        if self._watched:
            pl_module.__dict__.pop("training_step", None)

    def _values(self, result: Any) -> None:
        """What a training step returns: the loss, or a table of it and outputs."""
        from pytest_parity.site import Kind  # noqa: PLC0415

        if not isinstance(result, Mapping):
            self._loss(result)
            return
        self._loss(result.get("loss"))
        others = {name: value for name, value in result.items() if name != "loss"}
        if others and self._driven is not None:
            self._driven.value(Kind.OUTPUT, "outputs", others)

    def _loss(self, loss: Any) -> None:
        from pytest_parity.site import Kind  # noqa: PLC0415

        if loss is not None and self._driven is not None:
            self._driven.value(Kind.LOSS, "loss", loss)

    def _conclude(self) -> None:
        driven, self._driven = self._driven, None
        if driven is None:
            return
        from pytest_parity.result import Comparison, Recorded  # noqa: PLC0415
        from pytest_parity.session.script import Outcome  # noqa: PLC0415

        self._watched = False
        self._outcome, result = Outcome.of(driven, rank=self._rank)
        if isinstance(result, ParityFailure):
            self.comparison = result.comparison
        elif isinstance(result, Comparison):
            self.comparison = result
        elif isinstance(result, Recorded):
            self.recorded = result
        self._error = result if isinstance(result, ParityError) and self._plan.raises else None
        self._leave()

    def _fail(self, error: ParityError) -> None:
        self._driven = None
        self._leave_error(error)
        if not self._handed:
            raise error

    def _leave_error(self, error: ParityError) -> None:
        from pytest_parity.session.script import Outcome  # noqa: PLC0415

        if self._handed:
            self._outcome = Outcome.error(error, self._plan, self._rank)
            self._leave()

    def _leave(self) -> None:
        """Hand the outcome back, or say it; who raises it in a script says it by that."""
        assert self._outcome is not None
        if self._handed:
            self._outcome.leave(self._plan)
        elif self._error is None:
            sys.stderr.write("".join(f"{line}\n" for line in self._outcome.lines))

    def _drop(self) -> None:
        driven, self._driven = self._driven, None
        if driven is not None:
            driven.abandon()


class ParityRecord(_Callback):
    """Record a training as a golden: ``Trainer(callbacks=[ParityRecord("nest/tiny", "golden", steps=[0, 1, 2])])``.

    ``golden`` is the directory of goldens, ``case`` the path of this one below it. Kept are the steps of a list, every
    n-th, or the ``first`` n of this run; the first 3 where nothing is said. ``rng``: ``"off"`` leaves the script's bits
    as they are without the callback; ``"keyed"`` gives each module call a stream of its own, so that another
    implementation can draw alike, and seeds batch by batch with ``seed``. Rank 0 records; with ``all_ranks`` every
    further one does, as ``CASE.rank1``. Under CI a golden that exists is not replaced without a ``reason``.

    The golden is written when the last step that is kept is over; a training that raises before leaves the old one.
    Raises ``UsageError`` where a step of the list was not reached. ``recorded`` tells afterwards what was written.
    """

    def __init__(
        self,
        case: str,
        golden: str = "golden",
        *,
        steps: Iterable[int] | None = None,
        every: int | None = None,
        first: int | None = None,
        kinds: Iterable[str] | None = None,
        rng: str = "off",
        seed: int = 0,
        valid: Mapping[str, Valid] | None = None,
        replay: Iterable[str] = (),
        all_ranks: bool = False,
        reason: str = "",
    ) -> None:
        from pytest_parity.session.driven import Keeping  # noqa: PLC0415
        from pytest_parity.session.script import Plan  # noqa: PLC0415
        from pytest_parity.settings import Mode  # noqa: PLC0415

        super().__init__(
            Plan(
                Mode.RECORD,
                case,
                str(golden),
                keeping=Keeping.of(steps, every=every, first=first),
                kinds=None if kinds is None else tuple(kinds),
                rng=rng,
                seed=seed,
                valid=dict(valid or {}),
                replay=tuple(replay),
                all_ranks=all_ranks,
                reason=reason,
            )
        )


class ParityCheck(_Callback):
    """Check a training against a golden: ``Trainer(callbacks=[ParityCheck("nest/tiny", "golden", weights=True)])``.

    The script's own batches are compared first, and what differs from there on is said to be the data's;
    ``batches="recorded"`` trains on the golden's instead. Without ``weights`` the initial weights are compared like
    everything else; with it the reference's are loaded, and each step that is checked starts from the reference's
    weights and optimizer state. Random streams are as the golden's run had them. ``names`` maps the candidate's names
    to the reference's. ``rtol`` and ``atol`` take the place of what the golden and the dtypes allow. ``steps``,
    ``every`` and ``first`` choose of the golden's steps; all of them where nothing is said.

    Every rank checks: rank 0 everything, another its own recording if there is one, else what all ranks have alike
    (weights, gradients, optimizer state, updates). Training runs to its end; then ``ParityFailure`` is raised, unless
    ``raises=False``. ``comparison`` tells afterwards what was found. Nothing compared is a failure.
    """

    def __init__(
        self,
        case: str,
        golden: str = "golden",
        *,
        steps: Iterable[int] | None = None,
        every: int | None = None,
        first: int | None = None,
        weights: bool = False,
        batches: str = "own",
        names: Any = None,
        kinds: Iterable[str] | None = None,
        rtol: float | None = None,
        atol: float | None = None,
        ignore: Iterable[str] = (),
        coverage: float | None = None,
        valid: Mapping[str, Valid] | None = None,
        replay: Iterable[str] = (),
        out: str = ".parity",
        raises: bool = True,
    ) -> None:
        from pytest_parity.session.driven import Keeping  # noqa: PLC0415
        from pytest_parity.session.script import Plan  # noqa: PLC0415
        from pytest_parity.settings import Batches, Mode  # noqa: PLC0415

        if batches not in {"own", "recorded"}:
            raise UsageError(f"ParityCheck(batches={batches!r}): 'own' or 'recorded'")
        super().__init__(
            Plan(
                Mode.CHECK,
                case,
                str(golden),
                out=str(out),
                keeping=Keeping.of(steps, every=every, first=first),
                weights=weights,
                batches=Batches(batches),
                names=names,
                kinds=None if kinds is None else tuple(kinds),
                rtol=rtol,
                atol=atol,
                ignore=tuple(ignore),
                coverage=coverage,
                valid=dict(valid or {}),
                replay=tuple(replay),
                raises=raises,
            )
        )


def from_environment() -> list[Any]:
    """The callbacks that ``parity record|check -- SCRIPT`` asks of each trainer that the script makes; else none."""
    if "PARITY_SCRIPT" not in os.environ:
        return []
    from pytest_parity.session.script import Plan  # noqa: PLC0415

    plan = Plan.from_environment()
    if plan is None:
        return []
    plan.driven_by("lightning")
    return [_made(ParityRecord if plan.recording else ParityCheck, plan, handed=True)]


def _made(kind: type[_Callback], plan: Plan, handed: bool) -> _Callback:
    made = kind.__new__(kind)
    _Callback.__init__(made, plan, handed=handed)
    return made


def _bases() -> tuple[type, ...]:
    """The callback classes of the packages that are imported; of those installed where none is."""
    names = [name for name in _PACKAGES if name in sys.modules]
    if not names:
        for name in _PACKAGES:
            try:
                importlib.import_module(name)
            except ImportError:
                continue
            names.append(name)
    if not names:
        raise UsageError("there is no Lightning here: pip install 'pytest-parity[lightning]'")
    return tuple(sys.modules[name].Callback for name in names)
