"""Substitutes: what a rewrite gets wrong in one operation: another activation, a scale, a bias, a dimension, a side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import permutations
from typing import Any

import torch
from torch.nn import functional

from pytest_parity.diagnose.hints.operations import Operation, Rewrite, Shaped
from pytest_parity.diagnose.hints.rewriting import Change, at, fixed, instead, passed, with_argument
from pytest_parity.report.words import number, pair
from pytest_parity.result import Cause

__all__ = ["SUBSTITUTES"]

_ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "gelu": functional.gelu,
    "gelu (approximate='tanh')": lambda x: functional.gelu(x, approximate="tanh"),
    "gelu (x * sigmoid(1.702 x))": lambda x: x * torch.sigmoid(1.702 * x),
    "silu": functional.silu,
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "leaky_relu": functional.leaky_relu,
    "leaky_relu (slope 0.2)": lambda x: functional.leaky_relu(x, 0.2),
    "elu": functional.elu,
    "mish": functional.mish,
    "softplus": functional.softplus,
    "hardswish": functional.hardswish,
    "the identity": lambda x: x,
}
_PRODUCTS = frozenset({"bmm", "mm", "matmul", "baddbmm"})
_FUSED = "_scaled_dot_product"
_NARROW = frozenset({torch.bfloat16, torch.float16})
_WIDE = frozenset({torch.float32, torch.float64})
_PADS = {"constant_pad_nd": "constant", "reflection_pad": "reflect", "replication_pad": "replicate"}
_SAME = 1e-9
_LEAST = 1e-3
_WIDTHS = 6
_PARTS = 4
_RANK = 4
_PAIR = 2


def _precision(operations: Sequence[Operation]) -> Iterator[Change]:
    """Casts to a narrow dtype, all at once."""
    first = next((one for one in operations if one.name == "_to_copy" and _narrows(one.args[0], one.kwargs)), None)
    if first is not None:
        dtype = str(first.kwargs["dtype"]).removeprefix("torch.")
        yield Change(Cause.PRECISION, f"without its casts to {dtype}", {}, first.where, {"_to_copy": _wide})


def _narrows(value: Any, kwargs: Mapping[str, Any]) -> bool:
    return kwargs.get("dtype") in _NARROW and getattr(value, "dtype", None) in _WIDE


def _wide(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return args[0] if _narrows(args[0], kwargs) else func(*args, **kwargs)


def _activations(operations: Sequence[Operation]) -> Iterator[Change]:
    for one in operations:
        name = one.name.rstrip("_")
        own = "gelu (approximate='tanh')" if one.kwargs.get("approximate") == "tanh" else name
        for other, function in _ACTIVATIONS.items() if name in _ACTIVATIONS else ():
            if other != own:
                yield at(Cause.ACTIVATION, f"with {other} in place of {own}", one, instead(function))


def _dropout(operations: Sequence[Operation]) -> Iterator[Change]:
    draws = {"bernoulli_": _kept_share, "native_dropout": _undropped}
    if any(one.name in draws for one in operations):
        yield Change(Cause.DROPOUT, "without its dropout", {}, "", draws)


def _kept_share(_func: Any, args: tuple[Any, ...], _kwargs: Any) -> Any:
    """Nothing dropped: the share that is kept, everywhere, by which it is divided next."""
    return torch.full_like(args[0], args[1])


def _undropped(_func: Any, args: tuple[Any, ...], _kwargs: Any) -> Any:
    return args[0].clone(), torch.ones_like(args[0], dtype=torch.bool)


def _scales(operations: Sequence[Operation]) -> Iterator[Change]:
    """A number that is multiplied with: left out, or that of a width; and a product's, before a softmax, that lacks it."""
    products = [one for one in operations if one.name in _PRODUCTS]
    widths = sorted({one.tensors[-2].shape[-1] for one in products if len(one.tensors) > 1})[:_WIDTHS]
    last = max((one.place for one in operations if one.name == "_softmax"), default=-1)
    for one in operations:
        if one.name.rstrip("_") in {"mul", "div"} and _LEAST < abs(one.number or 0.0) < 1 / _LEAST:
            yield from _scale(one, widths)
    for one in operations:
        if one.name in _PRODUCTS and one.place < last:
            width = one.tensors[-2].shape[-1]
            for times, words in (
                (width**-0.5, f"divided by the square root of {width}"),
                (1 / width, f"divided by {width}"),
                (width**0.5, f"multiplied by the square root of {width}"),
            ):
                yield at(Cause.SCALE, f"with its logits {words}", one, _times(times))
        elif one.name.startswith(_FUSED):
            yield from _attention(one)


def _scale(one: Operation, widths: Sequence[int]) -> Iterator[Change]:
    own, word = one.number or 1.0, "multiplied" if one.name.startswith("mul") else "divided"
    yield at(Cause.SCALE, f"not {word} by {number(own)}", one, passed)
    others = [
        own * own,
        abs(own) ** 0.5,
        *(form for size in widths for form in (size**-0.5, size**0.5, 1 / size, size)),
    ]
    for other in dict.fromkeys(others):
        if abs(other - own) > _SAME * abs(own):
            text = f"{word} by {' in place of '.join(pair(other, own))}"
            yield at(Cause.SCALE, text, one, with_argument(1, fixed(other)))


def _times(factor: float) -> Rewrite:
    return lambda func, args, kwargs: func(*args, **kwargs) * factor


def _attention(one: Operation) -> Iterator[Change]:
    query = one.tensors[0].shape
    plain = query[-1] ** -0.5
    own = one.kwargs.get("scale") or plain
    heads = query[1] if len(query) == _RANK else 1
    for other in (plain, 1.0, 1 / query[-1], (heads * query[-1]) ** -0.5):
        if abs(other - own) > _SAME:
            text = f"with its logits scaled by {' in place of '.join(pair(other, own))}"
            yield at(Cause.SCALE, text, one, _named("scale", other))


def _named(name: str, value: Any) -> Rewrite:
    return lambda func, args, kwargs: func(*args, **{**kwargs, name: value})


def _terms(operations: Sequence[Operation]) -> Iterator[Change]:
    """An input or a parameter that is added or multiplied with: left out, twice, with the other sign."""
    for one in operations:
        name = one.name.rstrip("_")
        if name in {"add", "sub", "mul", "addmm"}:
            for place, term in enumerate(one.args[:_PAIR]):
                if isinstance(term, Shaped) and term.source and (name != "addmm" or not place):
                    yield from _term(one, name, place, term)
        if name in {"add", "sub"} and one.number and float(one.number).is_integer() and one.tensors:
            cause = Cause.CONSTANT if one.tensors[0].dtype.is_floating_point else Cause.SHIFT
            text = f"with {number(one.number)} not {'added' if name == 'add' else 'taken away'}"
            yield at(cause, text, one, passed)
        elif name == "neg":
            yield at(Cause.SIGN, "not negated", one, passed)


def _term(one: Operation, name: str, place: int, term: Shaped) -> Iterator[Change]:
    if name == "mul":
        yield at(Cause.SCALE, f"not multiplied with {term.source}", one, with_argument(place, torch.ones_like))
        yield at(Cause.SCALE, f"multiplied twice with {term.source}", one, with_argument(place, torch.square))
        return
    cause = Cause.BIAS if term.source.startswith("its ") else Cause.RESIDUAL
    yield at(cause, f"without {term.source}", one, with_argument(place, torch.zeros_like))
    yield at(cause, f"with {term.source} twice", one, with_argument(place, _doubled))
    yield at(cause, f"with {term.source} of the other sign", one, with_argument(place, torch.neg))


def _doubled(value: torch.Tensor) -> torch.Tensor:
    return 2 * value


def _reductions(operations: Sequence[Operation]) -> Iterator[Change]:
    for one in operations:
        own = one.kwargs.get("correction", 1)
        if one.name in {"var", "std", "var_mean"} and own in {0, 1}:
            words = "by n in place of n - 1" if own else "by n - 1 in place of n"
            yield at(Cause.BATCHNORM, f"with the variance divided {words}", one, _named("correction", 1 - own))
        if one.name in {"mean", "sum"} and len(one.args) > 1:
            other = "sum" if one.name == "mean" else "mean"
            yield at(Cause.REDUCTION, f"with a {other} in place of a {one.name}", one, _reduced(other))
        if one.name in {"_softmax", "_log_softmax"}:
            rank = len(one.tensors[0].shape)
            for dim in range(rank):
                if dim != one.args[1] % rank:
                    text = f"with the softmax over dim {dim} and not {one.args[1] % rank}"
                    yield at(Cause.CONSTANT, text, one, with_argument(1, fixed(dim)))


def _reduced(name: str) -> Rewrite:
    return lambda _func, args, kwargs: getattr(torch, name)(*args, **kwargs)


def _sides(operations: Sequence[Operation]) -> Iterator[Change]:
    """Padding on the other side or of another mode; a convolution's own, all on one side."""
    for one in operations:
        kind = next((mode for name, mode in _PADS.items() if one.name.startswith(name)), "")
        if kind:
            pads = list(one.args[1])
            turned = [pads[place ^ 1] for place in range(len(pads))]
            if turned != pads:
                yield at(
                    Cause.PADDING,
                    f"padded by {turned} in place of {pads}",
                    one,
                    with_argument(1, fixed(turned)),
                )
            for mode in ("constant", "reflect", "replicate", "circular"):
                if mode != kind:
                    yield at(Cause.PADDING, f"with {mode} padding in place of {kind}", one, _padded(pads, mode))
        elif one.name == "convolution" and any(one.args[4]) and not one.args[6]:
            for side, word in ((0, "before"), (1, "behind")):
                yield at(Cause.PADDING, f"with its padding all {word}", one, _one_sided(side))


def _padded(pads: list[int], mode: str) -> Rewrite:
    return lambda _func, args, _kwargs: functional.pad(args[0], pads, mode=mode)


def _one_sided(side: int) -> Rewrite:
    def rewrite(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        pads = [2 * width if place == side else 0 for width in reversed(args[4]) for place in (0, 1)]
        return func(functional.pad(args[0], pads), *args[1:4], [0] * len(args[4]), *args[5:], **kwargs)

    return rewrite


def _orders(operations: Sequence[Operation]) -> Iterator[Change]:
    """Joined, rolled, flipped or counted otherwise."""
    for one in operations:
        if one.name == "cat" and isinstance(one.args[0], (list, tuple)) and len(one.args[0]) == _PAIR:
            yield at(
                Cause.PERMUTATION,
                "with the two parts that it joins swapped",
                one,
                with_argument(0, _reversed),
            )
        elif one.name == "roll":
            own = list(one.args[1])
            yield at(Cause.SHIFT, f"not rolled by {own}", one, passed)
            for other in ([-by for by in own], [by + 1 for by in own], [by - 1 for by in own]):
                text = f"rolled by {other} in place of {own}"
                yield at(Cause.SHIFT, text, one, with_argument(1, fixed(other)))
        elif one.name == "flip":
            yield at(Cause.PERMUTATION, "not flipped", one, passed)
        elif one.name == "arange":
            for by in (1, -1):
                yield at(Cause.SHIFT, f"with its positions moved by {by}", one, _counted(by))
        elif one.name == "clamp" and isinstance(one.args[0], Shaped):
            yield at(Cause.CONSTANT, "not clamped", one, passed)


def _reversed(parts: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    return list(parts)[::-1]


def _counted(by: int) -> Rewrite:
    return lambda func, args, kwargs: func(*args, **kwargs) + by


def _layouts(operations: Sequence[Operation]) -> Iterator[Change]:
    """Heads split and joined, parts taken, matrices turned."""
    for one in operations:
        shape = one.tensors[0].shape if one.tensors else ()
        if one.name in {"view", "_unsafe_view", "reshape"} and one.shape is not None:
            if len(shape) == _RANK and len(one.shape) < _RANK:
                yield at(Cause.TRANSPOSE, "with dims 1 and 2 transposed before its heads are joined", one, _joined)
            elif len(shape) == _RANK - 1 and len(one.shape) == _RANK:
                text = f"split into {one.shape[3]} by {one.shape[2]} for {one.shape[2]} by {one.shape[3]}"
                yield at(Cause.PERMUTATION, text, one, _split)
        elif one.name.startswith(("split", "unbind", "chunk")):
            for order in permutations(range(_PARTS)):
                text = f"with the parts that it takes in the order {order}"
                yield at(Cause.PERMUTATION, text, one, _taken(order))
        elif one.name in {"t", "transpose"} and one.shape == shape and len(set(shape[-2:])) == 1:
            yield at(Cause.TRANSPOSE, f"not transposed ({' by '.join(map(str, shape))})", one, passed)


def _joined(_func: Any, args: tuple[Any, ...], _kwargs: Any) -> Any:
    return args[0].transpose(1, 2).reshape(args[1])


def _split(_func: Any, args: tuple[Any, ...], _kwargs: Any) -> Any:
    first, second, heads, width = args[1]
    return args[0].reshape(first, second, width, heads).transpose(-1, -2).contiguous()


def _taken(order: tuple[int, ...]) -> Rewrite:
    def rewrite(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        parts = func(*args, **kwargs)
        places = [place for place in order if place < len(parts)]
        if len(parts) > _PARTS or places == sorted(places):
            raise ValueError("nothing changes")
        return [parts[place] for place in places]

    return rewrite


SUBSTITUTES: tuple[Callable[[Sequence[Operation]], Iterator[Change]], ...] = (
    _precision,
    _activations,
    _dropout,
    _scales,
    _terms,
    _reductions,
    _sides,
    _orders,
    _layouts,
)
