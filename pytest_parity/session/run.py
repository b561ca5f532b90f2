"""Run: the steps of one case, the same for recording and checking; the two sinks differ in what they do with them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch

from pytest_parity.capture import Capture, Streams, leaves, pack
from pytest_parity.compare.valid import Valid
from pytest_parity.errors import UsageError
from pytest_parity.result import Comparison, Recorded, Tolerance
from pytest_parity.session.memory import Start, left_alone
from pytest_parity.session.shortage import explain
from pytest_parity.session.surroundings import Surroundings
from pytest_parity.session.values import is_leaf, tensors
from pytest_parity.session.watch import Keep
from pytest_parity.settings import Settings
from pytest_parity.site import DEFAULT_KINDS, Kind, Site

if TYPE_CHECKING:
    from pytest_parity.session.asked import Asked
    from pytest_parity.session.curves import Curves

__all__ = ["LOADER", "NEEDS_OPTIMIZER", "Run", "Watching", "kept"]

LOADER = "loader"
"""The name of what ``steps`` yields, among the batch's sites."""

NEEDS_OPTIMIZER = frozenset({Kind.OPTIMIZER, Kind.UPDATED_WEIGHT})


@dataclass(frozen=True, slots=True)
class Watching:
    """What a ``watch`` asks for."""

    model: torch.nn.Module
    optimizers: tuple[torch.optim.Optimizer, ...] = ()
    kinds: frozenset[Kind] | None = None
    names: Any = None
    valid: Mapping[str, Valid] = field(default_factory=dict)
    replay: tuple[str, ...] = ()
    tolerances: Mapping[str, Any] = field(default_factory=dict)
    ignore: tuple[str, ...] = ()
    coverage: float | None = None
    probes: bool = False
    """Whether each leaf module is also fed probes, when recording."""

    @property
    def effective_kinds(self) -> frozenset[Kind]:
        """The kinds that can be observed: those asked for, less what only an optimizer has."""
        if self.kinds is None:
            kinds = DEFAULT_KINDS | ({Kind.PROBE} if self.probes else set())
            return kinds if self.optimizers else kinds - NEEDS_OPTIMIZER
        if Kind.PROBE in self.kinds and Kind.INPUT not in self.kinds:
            raise UsageError("kinds has probe, and probes are made of what modules are given: add input")
        needing = sorted(kind.value for kind in self.kinds & NEEDS_OPTIMIZER)
        if needing and not self.optimizers:
            raise UsageError(f"kinds has {', '.join(needing)}, which an optimizer leaves: watch(model, optimizer=...)")
        return self.kinds | ({Kind.PROBE} if self.probes and Kind.INPUT in self.kinds else set())


class Run(ABC):
    """One case being recorded or checked. ``step`` is the one that observations go to, ``None`` before the first."""

    curves: Curves
    """The training curves that the test asserts."""

    def __init__(self, settings: Settings, streams: Streams) -> None:
        self.settings = settings
        self.streams = streams
        self.step: int | None = None
        self.capture: Capture | None = None
        self.watching: Watching | None = None
        self.surroundings = Surroundings(settings)
        self.inputs: dict[str, Any] = {}
        self.settled: int | None = None
        """The step of a loop that has ended; what the model is left with then belongs to others."""
        self.free = False
        """Whether the loop's steps go on from one another."""
        self.skipping = False
        """Whether the loop is in a step that is not kept: what its body asserts is not recorded."""
        self.named: set[Site] = set()
        """The values that the test has named in this step, without their leaves."""
        self.start: Start | None = None
        """What is kept beside the model to run it again."""

    # what the two sinks do

    @abstractmethod
    def observe(self, site: Site, value: torch.Tensor | None, call: Tolerance | None = None) -> None:
        """Take one observation of the current step."""

    @abstractmethod
    def make_capture(self, watching: Watching) -> Capture:
        """Put a model under observation; checking, its structure is compared first."""

    @abstractmethod
    def batches(self, loader: Iterable[Any], limit: int | None, keep: Keep) -> Iterator[tuple[int, Any, bool]]:
        """Run the steps of a loop: number, batch, and whether the step is kept."""

    @abstractmethod
    def take(self, step: int, batch: Any) -> Any:
        """Begin a step of a loop that runs elsewhere with the batch it has drawn; gives the one to train on."""

    @abstractmethod
    def pass_by(self, step: int, batch: Any) -> None:
        """Let a step of a loop that runs elsewhere go by, with the batch it has drawn: it is not kept."""

    @abstractmethod
    def input(self, name: str, make: Callable[[], Any]) -> Any:
        """An input of the current step, recorded or given back."""

    @abstractmethod
    def load(self, model: torch.nn.Module, names: Any) -> None:
        """Checking: copy the reference's initial weights into the model."""

    @abstractmethod
    def structure(self, model: torch.nn.Module, names: Any) -> None:
        """Record or compare a model's structure alone."""

    @abstractmethod
    def take_curve(self, asked: Asked) -> None:
        """Record or judge a training curve."""

    @abstractmethod
    def finish(self) -> Comparison | Recorded:
        """Conclude: commit the golden, or judge what no helper asserted."""

    @abstractmethod
    def abandon(self) -> None:
        """Give up: the recording is discarded, files are closed."""

    @abstractmethod
    def _open_step(self, step: int) -> None: ...

    @abstractmethod
    def _close_step(self) -> None: ...

    # what they share

    def explain(self, error: BaseException) -> None:
        """Add to an error that ends the body what of it is ours: where memory ran out."""
        explain(error, self.settings, self.step, self.start)

    def begin(self, step: int) -> None:
        """Make ``step`` the current one; the one before is closed."""
        if step == self.step:
            return
        self.close_step()
        self.step = step
        self.named.clear()
        self._open_step(step)

    def close_step(self) -> None:
        """Close the current step, if there is one."""
        if self.step is not None:
            if self.capture is not None and self.capture.step == self.step != self.settled:
                self.capture.gradients()  # also those of a backward after the watch
                self.capture.updates()
                self.capture.end_step()
            self._close_step()
            self.step = None

    def name_value(self, site: Site) -> None:
        """Begin a value that the test names: an output, a loss, an input; a name twice in a step is an error."""
        if self.skipping:
            return
        self.begin(self.step or 0)
        if site in self.named:
            raise UsageError(
                f"{str(site)!r} is there already in step {self.step} of {self.settings.case}; "
                "give each value of a step a name of its own: parity.assert_close('another name', value)"
            )
        self.named.add(site)

    def numbered(self, site: Site) -> Site:
        """The site of a value whose name may be taken in this step: with a number behind it, then."""
        if self.skipping:
            return site
        self.begin(self.step or 0)
        count = sum(value.path == site.path and value.kind is site.kind for value in self.named)
        return Site(site.kind, site.path, count) if count else site

    def observe_value(self, site: Site, value: Any, call: Tolerance | None = None) -> None:
        """Observe a value that the test names: a tensor, a number, or a tree of them. Raises as ``end_value`` does."""
        self.name_value(site)
        for leaf, tensor in leaves(tensors(value, str(site)), "out"):
            self.observe(replace(site, leaf="" if is_leaf(value) else leaf), tensor, call)
        self.end_value(site)

    @abstractmethod
    def end_value(self, site: Site) -> None:
        """Conclude a named value, all of whose leaves were observed."""

    def open_single(self) -> None:
        """Open the one step of a test without a loop, at the first call of a module or at the watch's end."""
        assert self.capture is not None
        self.begin(self.step or 0)
        self.streams.seed_step(self.step or 0, "step")
        self.begin_observing(dict(self.inputs))

    def close_single(self) -> None:
        """Observe what is final at the watch's end; gradients that come later are read by the helper that asks."""
        assert self.capture is not None
        if self.capture.modules.step is None:
            self.open_single()
        self.capture.gradients()
        self.capture.updates()

    @abstractmethod
    def begin_observing(self, batch: Any) -> None:
        """Open the capture's step, with the valid regions of this batch."""

    def jittered(self) -> AbstractContextManager[None]:
        """Inside, a run for the noise floor moves what each operation computes by one unit in the last place."""
        return nullcontext()

    def observe_tree(self, name: str, value: Any) -> dict[str, Any]:
        """Observe a batch or an input as it is now; returns its spec."""
        spec, tensors = pack(value, f"{name!r} of step {self.step} of {self.settings.case}")
        self.name_value(Site(Kind.BATCH, name))
        for path, tensor in tensors:
            self.observe(Site(Kind.BATCH, name, leaf=path), tensor)
        return spec

    def left_alone(self) -> AbstractContextManager[None]:
        """Inside, the test's body may run again, even on the same model: that is then as it is now."""
        watching = self.watching
        return nullcontext() if watching is None else left_alone(watching.model, watching.optimizers)

    def bound(self, names: Any) -> Any:
        """The name map that holds: the call's, the marker's, the fixture's."""
        return next((one for one in (names, self.settings.marker.names, self.settings.names) if one is not None), None)


def kept(keep: Keep, step: int) -> bool:
    """Whether a step is one of those kept."""
    if keep is None:
        return True
    return step in keep if isinstance(keep, Sequence) else step % keep == 0
