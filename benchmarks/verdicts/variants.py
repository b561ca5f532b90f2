"""Variants: ways to compute the same thing that must pass, by the workload they apply to."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.verdicts import parts
from benchmarks.verdicts.workloads import Way

__all__ = ["VARIANTS", "Variant", "combined", "drawn", "of"]

_ALL = ("transformer", "conformer", "convnet", "recurrent")
_ATTENTION = ("transformer", "conformer")
_CONVOLUTION = ("conformer", "convnet")
_NORMED = ("transformer", "conformer", "recurrent")
_GELU = ("transformer", "convnet", "recurrent")
_SILU = _CONVOLUTION
_TOKENS = ("transformer", "recurrent")


@dataclass(frozen=True, slots=True)
class Variant:
    """What it changes of a way. ``plain``: masks cannot be the same, so it is compared without dropout.

    ``alone``: not combined with others. ``whole``: calls of modules are others, so that only weights, gradients and
    what the test names can be compared.
    """

    name: str
    workloads: tuple[str, ...]
    parts: Mapping[str, Any]
    around: Mapping[str, Any]
    plain: bool = False
    alone: bool = False
    whole: bool = False

    def of(self, way: Way) -> Way:
        """That way, changed."""
        name = self.name if way.name == "reference" else f"{way.name} + {self.name}"
        return replace(way, name=name, parts=replace(way.parts, **self.parts), **self.around)


def _parts(name: str, workloads: tuple[str, ...], **changed: Any) -> Variant:
    return Variant(name, workloads, changed, {})


def _around(name: str, workloads: tuple[str, ...], **changed: Any) -> Variant:
    return Variant(name, workloads, {}, changed)


VARIANTS = (
    _parts("SDPA attention", _ATTENTION, attend=parts.sdpa),
    _parts("einsum attention", _ATTENTION, attend=parts.einsum),
    Variant("fused QKV", _ATTENTION, {"fused_qkv": True}, {}, alone=True),
    _parts("manual LayerNorm", _NORMED, layer_norm=parts.ManualLayerNorm),
    _parts("LayerNorm in float32", _NORMED, layer_norm=parts.UpcastLayerNorm),
    _parts("matmul and add", _ALL, linear=parts.MatmulLinear),
    _parts("transposed product", _ALL, linear=parts.TransposedLinear),
    _parts("GELU by formula", _GELU, gelu=parts.FormulaGELU),
    _parts("SiLU by formula", _SILU, silu=parts.FormulaSiLU),
    _parts("GLU by halves", ("conformer",), glu=parts.SplitGLU),
    _parts("one-hot embedding", _TOKENS, embedding=parts.OneHotEmbedding),
    _parts("loss in another order", _ALL, loss=parts.picked_entropy),
    _parts(
        "manual BatchNorm",
        _CONVOLUTION,
        batch_norm_1d=parts.ManualBatchNorm1d,
        batch_norm_2d=parts.ManualBatchNorm2d,
    ),
    _parts("unfolded convolution", _CONVOLUTION, conv2d=parts.UnfoldConv2d),
    _parts("shifted convolution", ("conformer",), conv1d=parts.ShiftedConv1d),
    _parts("mean by sum", ("convnet",), pool=parts.MeanPool),
    _parts("LSTM by a loop", ("recurrent",), lstm=parts.LoopLSTM),
    _parts("GRU by a loop", ("recurrent",), gru=parts.LoopGRU),
    _parts("checkpointing", _ALL, checkpoint=True),
    _around("1 thread", _ALL, threads=1),
    _around("channels last", _CONVOLUTION, channels_last=True),
    _around("foreach optimizer", _ALL, foreach=True),
    Variant("2 x 4 accumulated", _TOKENS, {}, {"pieces": 2}, plain=True, alone=True, whole=True),
    Variant("torch.compile", _ALL, {}, {"compiled": True}, plain=True, alone=True),
)


def of(workload: str) -> list[Variant]:
    """Those of a workload."""
    return [one for one in VARIANTS if workload in one.workloads]


def combined(chosen: list[Variant]) -> Way:
    """The reference's way, changed by one after the other."""
    way = Way()
    for one in chosen:
        way = one.of(way)
    return way


def drawn(workload: str, rng: random.Random, count: int) -> list[Variant]:
    """``count`` variants that change different parts, to be combined."""
    left, chosen = [one for one in of(workload) if not one.alone], list[Variant]()
    while left and len(chosen) < count:
        one = rng.choice(left)
        chosen.append(one)
        touched = {*one.parts, *one.around}
        left = [other for other in left if not touched & {*other.parts, *other.around}]
    return chosen
