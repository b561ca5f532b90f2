"""Watch: a model under observation, and the steps of its training loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from pytest_parity.capture import Capture, Streams
from pytest_parity.errors import UsageError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Keep", "Steps", "Watch"]

Keep = int | Sequence[int] | None
"""Which steps are kept: every one (``None``), every n-th, or those of a list."""


class Steps(Protocol):
    """How a session runs the steps of a watch."""

    streams: Streams
    skipping: bool
    settled: int | None
    free: bool

    def batches(self, loader: Iterable[Any], limit: int | None, keep: Keep) -> Iterator[tuple[int, Any, bool]]:
        """Yield each step's number, its batch, and whether it is kept; a kept one is open while it is out."""

    def open_single(self) -> None:
        """Open the one step of a test without a loop."""

    def close_single(self) -> None:
        """Close it."""

    def explain(self, error: BaseException) -> None:
        """Add to an error that ends the body what of it is ours."""


class Watch:
    """What ``parity.watch`` gives: hooks are on inside its ``with``, and ``steps`` runs a loop.

    Without ``steps``, everything inside the ``with`` is step 0.
    """

    def __init__(self, capture: Callable[[], Capture], steps: Steps) -> None:
        self._make = capture
        self._steps = steps
        self._capture: Capture | None = None
        self._looped = False
        self.active = False
        """Whether its with is running: the hooks are on."""
        self.step: int | None = None
        """The number of the step whose batch ``steps`` has given; ``None`` before the first, and without a loop."""

    @property
    def stepped(self) -> bool:
        """Whether a step was begun: a loop has given a batch, or without one the model was called."""
        if self._looped:
            return self.step is not None
        return self._capture is not None and self._capture.modules.step is not None

    def __enter__(self) -> Self:
        if self._capture is not None:
            raise UsageError("this watch was used already; a case has one: put all of it into one with block")
        self._capture = self._make()
        self._capture.modules.on_first_call = self._steps.open_single
        self._capture.attach()
        self.active = True
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        assert self._capture is not None
        try:
            if error is not None:
                self._steps.explain(error)
            if kind is None:
                if self._looped:
                    self._capture.end_step()  # of a loop that was left by break
                else:
                    self._steps.close_single()
            self._steps.skipping = False
        finally:
            self.active = False
            self._capture.modules.end_step()
            self._capture.detach()

    def steps(
        self, loader: Iterable[Any], *, limit: int | None = None, keep: Keep = None, free: bool = False
    ) -> Iterator[Any]:
        """Run a training loop: yields batches, and observes what the body does with each.

        Recording draws ``limit`` batches from ``loader`` (all of them without) and keeps every step, every ``keep``-th,
        or those in the list ``keep``. Checking never touches ``loader``: it yields the golden's own batches, on the
        model's device, for the steps that the golden has; where the step before one was not kept, its learning rates
        are the recorded ones, and gradients that the step before left to be added to are not known.

        Where the weights were loaded, each step starts from the reference's weights and optimizer state, so that its
        verdict is its own. ``free=True`` starts the first one there, and lets the candidate's own updates lead on; the
        noise floor is then that of runs that are free too, and grows as they part.
        """
        if self._capture is None or self._looped or self._capture.modules.step is not None:
            raise UsageError(
                "steps() begins inside the with of parity.watch(), once, and before the model is called: "
                "with parity.watch(model) as run: for batch in run.steps(loader): ..."
            )
        _check(limit, keep, free=free)
        self._looped = True
        self._steps.free = free
        self._capture.modules.on_first_call = None
        return self._run(self._steps.batches(loader, limit, keep))

    def _run(self, batches: Iterator[tuple[int, Any, bool]]) -> Iterator[Any]:
        assert self._capture is not None
        for self.step, batch, kept in batches:
            yield batch
            if kept:
                self._capture.end_step()
                self._steps.settled = self.step


def _check(limit: int | None, keep: Keep, *, free: bool) -> None:
    if free and keep is not None:
        raise UsageError(
            f"steps(free=True, keep={keep!r}): a run that is free needs every step before one; leave keep= out"
        )
    if limit is not None and limit < 1:
        raise UsageError(f"steps(limit={limit}): a loop has at least 1 step")
    if isinstance(keep, int) and keep < 1:
        raise UsageError(f"steps(keep={keep}): every n-th step, and n is at least 1")
    if isinstance(keep, Sequence) and (not keep or min(keep) < 0):
        raise UsageError(f"steps(keep={list(keep)}): a list of steps, from 0")
