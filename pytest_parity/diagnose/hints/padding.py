"""Padding of a convolution: on the other side, of another width or another mode, computed of the input and the weight."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.nn import functional

from pytest_parity.diagnose.hints.trial import Hypothesis, Trial
from pytest_parity.result import Cause, Hint

__all__ = ["HYPOTHESES"]

_MODES = ("zeros", "reflect", "replicate", "circular")
_CONVOLUTIONS = {1: torch.conv1d, 2: torch.conv2d, 3: torch.conv3d}
_NAMES = {"zeros": "constant"}
_WORK = 1 << 32
"""Multiplications of one convolution above which none is tried."""


def _convolution(trial: Trial) -> Iterator[Hint]:
    module, value = trial.module, next(iter(trial.specimen.inputs.values()), None)
    if not isinstance(module, torch.nn.modules.conv._ConvNd) or module.transposed or value is None:  # noqa: SLF001
        return
    if value.dim() != module.weight.dim() or trial.expected.numel() * module.weight[0].numel() > _WORK:
        return
    own = _own(module)
    here = own if own is not None else [(0, 0)] * (value.dim() - 2)
    mode = module.padding_mode
    as_it_is = _computed(module, value, here, mode)
    if as_it_is is None or trial.left(as_it_is, trial.actual) is None:
        return  # it computes something else besides, and that may be what is wrong
    for sides, other in _tried(module, here, mode):
        found = _computed(module, value, sides, other)
        if found is not None and trial.left(found) is not None:
            text = f"padded by {_words(sides, other)} in place of {_words(here, mode)} it agrees"
            yield from trial.told(Cause.PADDING, text, found)


def _own(module: torch.nn.modules.conv._ConvNd) -> list[tuple[int, int]] | None:
    """What it pads by, on both sides of each dimension."""
    if isinstance(module.padding, str):
        if module.padding == "valid":
            return None
        widths = [(size - 1) * by for size, by in zip(module.kernel_size, module.dilation, strict=True)]
        return [(width // 2, width - width // 2) for width in widths]
    return [(one, one) for one in module.padding]


def _tried(
    module: torch.nn.modules.conv._ConvNd, here: list[tuple[int, int]], mode: str
) -> Iterator[tuple[list[tuple[int, int]], str]]:
    """First the same width in another mode or on one side; then what keeps the length, and nothing."""
    full = [(size - 1) * by for size, by in zip(module.kernel_size, module.dilation, strict=True)]
    sides = [
        [(before + after, 0) for before, after in here],
        [(0, before + after) for before, after in here],
        [(width, 0) for width in full],
        [(0, width) for width in full],
        [(width // 2, width - width // 2) for width in full],
        [(width - width // 2, width // 2) for width in full],
        [(0, 0) for _ in full],
    ]
    for other in _MODES:
        if other != mode:
            yield here, other
    for one in sides:
        if one != here:
            yield one, mode


def _computed(
    module: torch.nn.modules.conv._ConvNd, value: torch.Tensor, sides: list[tuple[int, int]], mode: str
) -> torch.Tensor | None:
    flat = [width for pair in reversed(sides) for width in pair]
    try:
        padded = functional.pad(value, flat, mode=_NAMES.get(mode, mode))
        run = _CONVOLUTIONS[value.dim() - 2]
        found: torch.Tensor = run(
            padded,
            module.weight,
            module.bias,
            stride=module.stride,
            padding=0,
            dilation=module.dilation,
            groups=module.groups,
        )
    except (RuntimeError, NotImplementedError):
        return None
    return found.detach().double().cpu()


def _words(sides: list[tuple[int, int]], mode: str) -> str:
    widths = ", ".join(f"{before} before and {after} behind" for before, after in dict.fromkeys(sides))
    return widths if mode == "zeros" else f"{widths} ({mode})"


HYPOTHESES: tuple[Hypothesis, ...] = (_convolution,)
