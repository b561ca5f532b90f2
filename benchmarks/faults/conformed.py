"""Conformed: the faults of nest_ssl's own code, those of its modules and those between them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from nest_ssl.attention import MASKED_SCORE, RelativeAttention, RelativePositions, align
from nest_ssl.conformer import ConformerBlock, ConvolutionModule
from nest_ssl.preprocessor import MelFilterbank
from nest_ssl.subsampling import ConvSubsampling, MaskedConvStack
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.faults.between import FACTORS, Put, between
from benchmarks.faults.label import Injection
from benchmarks.faults.leaves import at
from benchmarks.faults.survey import Survey
from pytest_parity.result import Cause

__all__ = ["conformer_faults"]


def conformer_faults(survey: Survey) -> Iterator[Injection]:
    """Every one that there is."""
    for path, module in survey.modules.items():
        for kind, faults in _BY_CLASS:
            if type(module) is kind:
                yield from faults(path, survey)


def _method(name: str, function: Callable[..., Any]) -> Put:
    return lambda module: setattr(module, name, function.__get__(module))


def _blocks(path: str, _survey: Survey) -> Iterator[Injection]:
    for name, kept, branch in (("missing", 0.0, 1.0), ("doubled", 2.0, 1.0), ("scaled", 1.0, 0.5)):

        def attend(
            self: Any, x: Tensor, mask: Tensor, positions: Tensor, *, kept: float = kept, branch: float = branch
        ) -> Tensor:
            y = self.norm_att(x)
            z: Tensor = kept * x + branch * self.drop_att(self.att(y, y, y, mask, positions))
            return z

        def convolve(self: Any, x: Tensor, mask: Tensor, kept: float = kept, branch: float = branch) -> Tensor:
            z: Tensor = kept * x + branch * self.drop_conv(self.conv(self.norm_conv(x), mask))
            return z

        put = _method("attend", attend)
        yield between((path, "drop_att", "norm_conv"), f"attention_residual_{name}", put, Cause.RESIDUAL, *FACTORS)
        put = _method("convolve", convolve)
        yield between((path, "drop_conv", "norm_ff2"), f"convolution_residual_{name}", put, Cause.RESIDUAL, *FACTORS)

    def whole(self: Any, x: Tensor, mask: Tensor, positions: Tensor, pad_mask: Tensor) -> Tensor:
        x = x + self.drop_ff1(self.ff1(self.norm_ff1(x)))
        x = self.convolve(self.attend(x, mask, positions), pad_mask)
        y: Tensor = self.norm_out(x + 0.5 * self.drop_ff2(self.ff2(self.norm_ff2(x))))
        return y

    yield between((path, "drop_ff1", "norm_att"), "half_missing", _method("forward", whole), Cause.RESIDUAL, *FACTORS)


def _convolutions(path: str, _survey: Survey) -> Iterator[Injection]:
    def forward(change: Callable[[Tensor, Tensor], Tensor]) -> Put:
        def convolve(self: Any, x: Tensor, pad_mask: Tensor) -> Tensor:
            gated = change(self.expand(x.transpose(1, 2)), pad_mask.unsqueeze(1))
            y: Tensor = self.project(self.act(self.norm(self.depthwise(gated))))
            return y.transpose(1, 2)

        return _method("forward", convolve)

    loud = forward(lambda y, _: functional.glu(y, dim=1))
    yield between((path, "expand", "depthwise"), "padding_not_silent", loud, Cause.MASK, Cause.PADDING)
    swapped = forward(lambda y, mask: functional.glu(torch.cat(y.chunk(2, 1)[::-1], 1), dim=1).masked_fill(mask, 0.0))
    also = (Cause.PERMUTATION, Cause.ORDER)
    yield between((path, "expand", "depthwise"), "gate_swapped", swapped, Cause.ACTIVATION, *also)


def _attentions(path: str, _survey: Survey) -> Iterator[Injection]:
    def fault(name: str, put: Put, cause: Cause | None, *also: Cause, size: float = 1.0) -> Injection:
        return between((path, "position", "drop"), name, put, cause, *also, size=size)

    def weighing(change: Callable[[Tensor, Tensor], Tensor]) -> Put:
        return _method("weigh", lambda _self, scores, mask: change(scores, mask.unsqueeze(1)))

    def plain(scores: Tensor, hidden: Tensor) -> Tensor:
        return torch.softmax(scores.masked_fill(hidden, MASKED_SCORE), dim=-1).masked_fill(hidden, 0.0)

    for size in (1.1, 1.01, 1.001, math.sqrt(8)):
        scaled = weighing(lambda scores, hidden, size=size: plain(scores * size, hidden))  # type: ignore[misc]
        yield fault("attention_scale", scaled, Cause.SCALE, Cause.FACTOR, Cause.CONSTANT, size=size)
    unmasked = weighing(lambda scores, _: scores.softmax(-1))
    yield fault("mask_missing", unmasked, Cause.MASK, Cause.PADDING)
    inverted = weighing(lambda scores, hidden: plain(scores, ~hidden))
    yield fault("mask_inverted", inverted, Cause.MASK, Cause.PADDING)

    def forward(change: Callable[[Any, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]) -> Put:
        def attend(self: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, positions: Tensor) -> Tensor:  # noqa: PLR0917
            queries, keys = self.split(self.query(query)), self.split(self.key(key)).transpose(1, 2)
            values = self.split(self.value(value)).transpose(1, 2)
            distances = self.split(self.position(positions)).transpose(1, 2)
            content, position = change(self, queries, keys, distances)
            weights = self.drop(self.weigh((content + position) / math.sqrt(self.head_size), mask))
            y: Tensor = self.output((weights @ values).transpose(1, 2).flatten(2))
            return y

        return _method("forward", attend)

    def terms(self: Any, queries: Tensor, keys: Tensor, distances: Tensor, biases: tuple[Tensor, Tensor]) -> Any:
        del self
        content = (queries + biases[0]).transpose(1, 2) @ keys.transpose(-1, -2)
        return content, (queries + biases[1]).transpose(1, 2) @ distances.transpose(-1, -2)

    def without(self: Any, queries: Tensor, keys: Tensor, distances: Tensor) -> tuple[Tensor, Tensor]:
        zero = self.content_bias * 0
        content, position = terms(self, queries, keys, distances, (zero, self.position_bias))
        return content, align(position)

    def moved(self: Any, queries: Tensor, keys: Tensor, distances: Tensor) -> tuple[Tensor, Tensor]:
        content, position = terms(self, queries, keys, distances, (self.content_bias, self.position_bias))
        return content, align(position.roll(1, -1))

    yield fault("content_bias_missing", forward(without), Cause.BIAS, Cause.WEIGHT)
    yield fault("positions_off_by_one", forward(moved), Cause.SHIFT, Cause.ROTARY)


def _subsamplings(path: str, _survey: Survey) -> Iterator[Injection]:
    def flatten(_self: Any, maps: Tensor) -> Tensor:
        return maps.permute(0, 2, 3, 1).flatten(2)

    put = _method("flatten", flatten)
    yield between((path, "stack", "out"), "bands_outermost", put, Cause.PERMUTATION, Cause.TRANSPOSE)


def _stacks(path: str, survey: Survey) -> Iterator[Injection]:
    del survey
    put = _method("silence_padding", lambda _self, x, _lengths: x)
    yield between((path, "stem", "relu.0"), "padding_not_silent", put, Cause.MASK, Cause.PADDING)


def _positions(path: str, survey: Survey) -> Iterator[Injection]:
    del survey

    def put(module: Any) -> None:
        module.scale = 1.0

    yield between((path, "", "drop"), "no_scale_of_tokens", put, Cause.SCALE, Cause.FACTOR, Cause.CONSTANT)


def _front_ends(path: str, survey: Survey) -> Iterator[Injection]:
    call = survey.calls[path]

    def setting(name: str, value: float) -> Put:
        return lambda module: setattr(module, name, value)

    yield at(call, "preemphasis", setting("preemphasis", 0.95), Cause.CONSTANT)
    yield at(call, "log_guard", setting("log_guard", 2.0**-16), Cause.CONSTANT, Cause.EPS)
    yield at(call, "no_dither", setting("dither", 0.0), Cause.CONSTANT)


_BY_CLASS: tuple[tuple[type[nn.Module], Callable[[str, Survey], Iterator[Injection]]], ...] = (
    (ConformerBlock, _blocks),
    (ConvolutionModule, _convolutions),
    (RelativeAttention, _attentions),
    (ConvSubsampling, _subsamplings),
    (MaskedConvStack, _stacks),
    (RelativePositions, _positions),
    (MelFilterbank, _front_ends),
)
