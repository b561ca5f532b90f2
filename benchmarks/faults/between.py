"""Between: functional faults, in a parent's own code between two of its children."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.faults.diffusion import DiffusionBlock, RotaryAttention
from benchmarks.faults.label import Family, Injection, Label
from benchmarks.faults.leaves import SCALES, shifted
from benchmarks.faults.planting import called_with
from benchmarks.faults.survey import ROOT, Call, Survey
from benchmarks.faults.workloads import Trained
from benchmarks.verdicts.attention import RelativeAttention, SelfAttention
from benchmarks.verdicts.models import Block, Recurrent, Residual
from pytest_parity.result import Cause

__all__ = ["below", "between", "functional_faults", "handed"]

Put = Callable[[Any], None]
FACTORS = (Cause.SCALE, Cause.FACTOR)


def between(
    place: tuple[str, str, str], name: str, put: Put, cause: Cause | None, *also: Cause, size: float = 1.0
) -> Injection:
    """A fault in a parent's code, between two children: ``place`` has the parent's path, and theirs below it, or nothing."""
    parent, after, to = place

    def make(candidate: Trained) -> None:
        put(candidate.model if parent == ROOT else candidate.model.get_submodule(parent))

    around = "" if parent == ROOT else f"{parent}."
    first, second = (f"{around}{child}" if child else "" for child in (after, to))
    label = Label((parent,), cause, frozenset(also), first, second, functional=True)
    return Injection(name, Family.FUNCTIONAL, parent, label, make, size)


def functional_faults(survey: Survey) -> Iterator[Injection]:
    """Every one that there is."""
    for call in survey.calls.values():
        if handed(call, survey):
            yield from _handed_on(call, survey)
    for path, module in survey.modules.items():
        for kind, faults in _BY_CLASS:
            if type(module) is kind:
                yield from faults(path or ROOT, module, survey)


def handed(call: Call, survey: Survey) -> bool:
    """Whether its parent's own code calls it by its name, with a floating tensor that is its parent's own."""
    parent, _, name = call.path.rpartition(".")
    given = call.given
    direct = (parent or ROOT) == call.parent and call.times == 1 and not name.isdigit()
    ours = given is not None and given.is_floating_point() and given.requires_grad
    entered = survey.modules[parent].__class__.__name__ == "Sequential"
    return direct and ours and not entered


def _handed_on(call: Call, survey: Survey) -> Iterator[Injection]:
    name, after = below(call.path, call.parent), below(call.before, call.parent)

    def fault(title: str, change: Callable[[Tensor], Tensor], *causes: Any, size: float = 1.0) -> Injection:
        put: Put = lambda parent: called_with(parent, name, change)  # noqa: E731
        return between((call.parent, after, name), title, put, *causes, size=size)

    for size in SCALES:
        scaled: Any = lambda x, size=size: x * size  # noqa: E731
        yield fault("handed_scaled", scaled, Cause.FACTOR, Cause.SCALE, Cause.RESIDUAL, size=size)
    yield fault("handed_bfloat16", lambda x: x.bfloat16().to(x.dtype), Cause.PRECISION)
    yield fault("handed_negated", torch.neg, Cause.SIGN, Cause.FACTOR)
    assert call.given is not None
    if call.given.dim() == 3 and call.given.shape[1] == 24 and survey.case.workload.name != "conformer":
        yield fault("handed_shifted", shifted, Cause.SHIFT)
    if call.given.shape[-1] > 1 and call.given.dim() < 4:
        yield fault("handed_rolled", lambda x: x.roll(1, -1), Cause.PERMUTATION, Cause.SHIFT)
        yield fault("handed_reversed", lambda x: x.flip(-1), Cause.PERMUTATION, Cause.ORDER)


def below(path: str, parent: str) -> str:
    """A path as it is below a parent's."""
    return path if parent == ROOT else path.removeprefix(f"{parent}.")


def _method(name: str, function: Callable[..., Any]) -> Put:
    """Another method of one object."""
    return lambda parent: setattr(parent, name, MethodType(function, parent))


def _blocks(path: str, _module: nn.Module, _survey: Survey) -> Iterator[Injection]:
    for name, kept, branch, cause in _RESIDUALS:

        def attend(self: Any, x: Tensor, keep: Tensor, kept: float = kept, branch: float = branch) -> Tensor:
            x = kept * x + branch * self.attention_drop(self.attention(self.attention_norm(x), keep))
            y: Tensor = x + self.feed_drop(self.feed(self.feed_norm(x)))
            return y

        def feed(self: Any, x: Tensor, keep: Tensor, kept: float = kept, branch: float = branch) -> Tensor:
            x = x + self.attention_drop(self.attention(self.attention_norm(x), keep))
            y: Tensor = kept * x + branch * self.feed_drop(self.feed(self.feed_norm(x)))
            return y

        first, second = _method("forward", attend), _method("forward", feed)
        yield between((path, "attention_drop", "feed_norm"), f"attention_{name}", first, cause, *FACTORS)
        yield between((path, "feed_drop", ""), f"feed_{name}", second, cause, *FACTORS)

    def after(self: Any, x: Tensor, keep: Tensor) -> Tensor:
        x = self.attention_norm(x + self.attention_drop(self.attention(x, keep)))
        y: Tensor = x + self.feed_drop(self.feed(self.feed_norm(x)))
        return y

    yield between((path, "", "attention_norm"), "norm_after", _method("forward", after), Cause.ORDER, Cause.RESIDUAL)


_RESIDUALS = (
    ("residual_missing", 0.0, 1.0, Cause.RESIDUAL),
    ("residual_doubled", 2.0, 1.0, Cause.RESIDUAL),
    ("branch_halved", 1.0, 0.5, Cause.RESIDUAL),
)


def _diffusion_blocks(path: str, _module: nn.Module, _survey: Survey) -> Iterator[Injection]:
    for name, kept, branch, cause in _RESIDUALS:

        def forward(
            self: Any, x: Tensor, keep: Tensor, time: Tensor, *, kept: float = kept, branch: float = branch
        ) -> Tensor:
            x = x + self.attention_drop(self.attention(self.attention_norm(x), keep))
            feed = self.feed_drop(self.feed(self.feed_norm(x + self.time(time)[:, None])))
            y: Tensor = kept * x + branch * feed
            return y

        yield between((path, "feed_drop", ""), f"feed_{name}", _method("forward", forward), cause, *FACTORS)

    def early(self: Any, x: Tensor, keep: Tensor, time: Tensor) -> Tensor:
        x = x + self.attention_drop(self.attention(self.attention_norm(x), keep))
        self.time(time)
        y: Tensor = x + self.feed_drop(self.feed(self.feed_norm(x)))
        return y

    yield between((path, "time", "feed_norm"), "time_not_added", _method("forward", early), Cause.RESIDUAL, Cause.BIAS)


def _inverted(_self: Any, keep: Tensor) -> Tensor:
    """The future instead of the past, and each position itself, also where it is padding."""
    square = torch.ones(keep.shape[1], keep.shape[1], dtype=torch.bool)
    return (keep[:, None, None, :] & square.triu()) | square.tril().triu()


def _attentions(path: str, module: Any, _survey: Survey) -> Iterator[Injection]:
    after = "rotary" if isinstance(module, RotaryAttention) else "value"

    def fault(name: str, put: Put, cause: Cause | None, *also: Cause, size: float = 1.0) -> Injection:
        return between((path, after, "out"), name, put, cause, *also, size=size)

    for size in (*SCALES, math.sqrt(module.out.in_features // module.heads)):

        def put(attention: Any, size: float = size) -> None:
            attention.scale *= size

        yield fault("attention_scale", put, Cause.SCALE, Cause.FACTOR, Cause.CONSTANT, size=size)

    def sees(mask: Callable[[int], Tensor], *, padding: bool = False) -> Put:
        def seen(_self: Any, keep: Tensor) -> Tensor:
            kept = torch.ones_like(keep) if padding else keep
            return kept[:, None, None, :] & mask(keep.shape[1])

        return _method("seen", seen)

    def square(steps: int) -> Tensor:
        return torch.ones(steps, steps, dtype=torch.bool)

    ordinary = (lambda n: square(n).tril()) if module.causal else square
    if module.causal:
        yield fault("mask_off_by_one", sees(lambda n: square(n).tril(1)), Cause.MASK)
        yield fault("mask_missing", sees(square), Cause.MASK)
        yield fault("mask_inverted", _method("seen", _inverted), Cause.MASK)
    else:
        yield fault("mask_causal", sees(lambda n: square(n).tril()), Cause.MASK)
        yield fault("mask_not_itself", sees(lambda n: ~torch.eye(n, dtype=torch.bool)), Cause.MASK)
    yield fault("padding_seen", sees(ordinary, padding=True), Cause.MASK, Cause.PADDING)
    for name, merge, causes in (
        ("heads_merged_rolled", lambda x: x.roll(1, 1).transpose(1, 2).flatten(2), (Cause.PERMUTATION, Cause.SHIFT)),
        (
            "heads_not_transposed",
            lambda x: x.reshape(x.shape[0], x.shape[2], -1),
            (Cause.PERMUTATION, Cause.TRANSPOSE),
        ),
    ):

        def forward(self: Any, x: Tensor, keep: Tensor, merge: Any = merge) -> Tensor:
            query, key, value = self.project(x)
            y: Tensor = self.out(merge(self.attend(query, key, value, None, self.seen(keep), self.scale)))
            return y

        yield fault(name, _method("forward", forward), *causes)


def _residuals(path: str, _module: nn.Module, _survey: Survey) -> Iterator[Injection]:
    for name, branch, around in (("missing", 1.0, 0.0), ("scaled", 1.0, 1.1), ("doubled", 1.0, 2.0)):

        def forward(self: Any, x: Tensor, branch: float = branch, around: float = around) -> Tensor:
            y = self.activation(self.first_norm(self.first(x)))
            z: Tensor = self.out(branch * self.second_norm(self.second(y)) + around * self.around(x))
            return z

        put = _method("forward", forward)
        yield between((path, "around", "out"), f"residual_{name}", put, Cause.RESIDUAL, *FACTORS)

    def reordered(self: Any, x: Tensor) -> Tensor:
        y = self.first_norm(self.activation(self.first(x)))
        z: Tensor = self.out(self.second_norm(self.second(y)) + self.around(x))
        return z

    # in the reference's order: the norm is the first that is handed something else
    yield between((path, "first", "first_norm"), "norm_after_relu", _method("forward", reordered), Cause.ORDER)


def _recurrents(path: str, _module: nn.Module, _survey: Survey) -> Iterator[Injection]:
    for name, kept, branch in (("missing", 0.0, 1.0), ("doubled", 2.0, 1.0)):

        def forward(self: Any, x: Tensor, lengths: Tensor, kept: float = kept, branch: float = branch) -> Tensor:
            silent = torch.arange(x.shape[1]) >= lengths[:, None]
            y, _ = self.lstm(self.tokens(x).masked_fill(silent[..., None], 0.0))
            y, _ = self.gru(self.drop(self.norm(y)))
            logits: Tensor = self.head(kept * y + branch * self.feed(y))
            return logits

        put = _method("forward", forward)
        yield between((path, "feed", "head"), f"residual_{name}", put, Cause.RESIDUAL, *FACTORS)

    def loud(self: Any, x: Tensor, lengths: Tensor) -> Tensor:
        del lengths
        y, _ = self.lstm(self.tokens(x))
        y, _ = self.gru(self.drop(self.norm(y)))
        logits: Tensor = self.head(y + self.feed(y))
        return logits

    yield between((path, "tokens", "lstm"), "padding_not_silent", _method("forward", loud), Cause.MASK, Cause.PADDING)


_BY_CLASS: tuple[tuple[type[nn.Module], Callable[[str, Any, Survey], Iterator[Injection]]], ...] = (
    (Block, _blocks),
    (DiffusionBlock, _diffusion_blocks),
    (SelfAttention, _attentions),
    (RotaryAttention, _attentions),
    (RelativeAttention, _attentions),
    (Residual, _residuals),
    (Recurrent, _recurrents),
)
