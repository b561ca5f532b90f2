"""Layout: which file an observation goes to, and what the header of such a file says.

A file is safetensors. Its header names each tensor by its site, and one metadata key, ``parity``, holds canonical JSON:
the file's observations in execution order, with digest, dtype and shape, and for an alias the file and tensor that it is.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

from pytest_parity.golden.entry import NONE
from pytest_parity.site import Kind

__all__ = [
    "ALIGNMENT",
    "STORED",
    "Form",
    "Header",
    "Tensor",
    "check_shape",
    "file_name",
    "none_entry",
    "parse_header",
    "quoted",
    "render_header",
]

ALIGNMENT = 64
"""The bytes of tensors begin at a multiple of this."""

_METADATA = "__metadata__"
_KEY = "parity"

_STEMS: dict[Kind, str] = {
    Kind.BATCH: "batch",
    Kind.WEIGHT: "weights",
    Kind.PROBE: "probes",
    Kind.INPUT: "inputs",
    Kind.ACTIVATION: "activations",
    Kind.OUTPUT: "outputs",
    Kind.LOSS: "loss",
    Kind.ACTIVATION_GRADIENT: "activation_gradients",
    Kind.GRADIENT: "gradients",
    Kind.OPTIMIZER: "optimizer",
    Kind.UPDATED_WEIGHT: "updated_weights",
}

STORED: dict[str, tuple[str, int, int]] = {
    "bool": ("BOOL", 1, 1),
    "uint8": ("U8", 1, 1),
    "int8": ("I8", 1, 1),
    "uint16": ("U16", 2, 1),
    "int16": ("I16", 2, 1),
    "uint32": ("U32", 4, 1),
    "int32": ("I32", 4, 1),
    "uint64": ("U64", 8, 1),
    "int64": ("I64", 8, 1),
    "float16": ("F16", 2, 1),
    "bfloat16": ("BF16", 2, 1),
    "float32": ("F32", 4, 1),
    "float64": ("F64", 8, 1),
    "float8_e4m3fn": ("F8_E4M3", 1, 1),
    "float8_e5m2": ("F8_E5M2", 1, 1),
    "float8_e4m3fnuz": ("U8", 1, 1),
    "float8_e5m2fnuz": ("U8", 1, 1),
    "float8_e8m0fnu": ("U8", 1, 1),
    "complex32": ("F16", 2, 2),
    "complex64": ("F32", 4, 2),
    "complex128": ("F64", 8, 2),
}
"""torch's dtype to safetensors' dtype, its bytes, and how many of them an element takes (complex: two, real and imaginary).

What safetensors 0.4.3 does not know is stored as the nearest that it does; the metadata has torch's own name.
"""


def file_name(step: int, kind: Kind, *, first: bool, shard: int) -> str:
    """The file of a kind's observations in a step, relative to the golden; the first step's weights are the case's."""
    stem = _STEMS[kind] + (f".{shard}" if shard else "")
    folder = "" if first and kind is Kind.WEIGHT else f"step_{step}/"
    return f"{folder}{stem}.safetensors"


class Form:
    """A dtype and a shape, with the pieces of JSON that every tensor of that form shares."""

    __slots__ = ("after", "before", "head", "key")

    def __init__(self, dtype: str, shape: tuple[int, ...]) -> None:
        code, _, parts = STORED[dtype]
        stored = [*shape, parts] if parts > 1 else list(shape)
        self.head = f'"dtype":"{code}","shape":{_list(stored)},"data_offsets":['
        self.before = f'"dtype":"{dtype}","order":'
        self.after = f',"shape":{_list(shape)},"site":'
        self.key = f"{dtype}{_list(shape)}"

    def tensor(self, name: str, start: int, stop: int) -> str:
        """The tensor's own item of the header; ``name`` is quoted JSON."""
        return f"{name}:{{{self.head}{start},{stop}]}}"

    def entry(self, name: str, order: int, digest: str, alias: str) -> str:
        """The observation's item of the metadata; ``name`` is quoted JSON, ``alias`` a list in JSON or empty."""
        prefix = f'{{"alias":{alias},"digest":"' if alias else '{"digest":"'
        return f'{prefix}{digest}",{self.before}{order}{self.after}{name}}}'


def none_entry(name: str, order: int) -> str:
    """The metadata's item of an observation that was ``None``."""
    return f'{{"digest":"","dtype":"{NONE}","order":{order},"shape":[],"site":{name}}}'


def render_header(step: int, tensors: list[str], entries: list[str], *, size: int | None = None) -> bytes:
    """The first bytes of a file, padded with spaces up to ``size``, or to the next multiple of the alignment."""
    metadata = f'{{"entries":[{",".join(entries)}],"step":{step}}}'
    first = f'"{_METADATA}":{{"{_KEY}":{quoted(metadata)}}}'
    header = "{" + ",".join([first, *tensors]) + "}"
    total = size or -(-(8 + len(header)) // ALIGNMENT) * ALIGNMENT
    return (total - 8).to_bytes(8, "little") + header.encode("ascii").ljust(total - 8)


@dataclass(frozen=True, slots=True)
class Tensor:
    """Where a tensor's bytes are in its file: ``offset`` from the file's start."""

    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Header:
    """What a file's header says: tensors by name, and the raw entries in execution order."""

    step: int
    tensors: dict[str, Tensor]
    entries: list[dict[str, Any]]


def parse_header(header: bytes, size: int) -> Header:
    """Read the header (without its length) of a file of ``size`` bytes.

    Raises ``ValueError``, ``TypeError`` or ``KeyError`` on one that is malformed or points outside of its file.
    """
    content = json.loads(header)
    metadata = json.loads(content.pop(_METADATA)[_KEY])
    start = 8 + len(header)
    tensors = {name: _tensor(item, start, size) for name, item in content.items()}
    if not isinstance(metadata["entries"], list) or type(metadata["step"]) is not int:
        raise TypeError("its metadata is malformed")
    return Header(metadata["step"], tensors, metadata["entries"])


def check_shape(dtype: str, shape: tuple[int, ...], nbytes: int) -> None:
    """Raise ``ValueError`` unless a tensor of this dtype and shape takes ``nbytes``."""
    if dtype == NONE:
        width = 0
    elif dtype in STORED:
        _, size, parts = STORED[dtype]
        width = size * parts
    else:
        raise ValueError(f"dtype {dtype!r} is unknown")
    if any(type(length) is not int or length < 0 for length in shape) or math.prod(shape) * width != nbytes:
        raise ValueError(f"{dtype} of shape {list(shape)} does not take {nbytes} bytes")


def _tensor(item: dict[str, Any], start: int, size: int) -> Tensor:
    begin, end = item["data_offsets"]
    if type(begin) is not int or type(end) is not int or not 0 <= begin <= end <= size - start:
        raise ValueError(f"a tensor lies at bytes {begin} to {end} of {size - start}")
    return Tensor(start + begin, end - begin)


def _list(shape: tuple[int, ...] | list[int]) -> str:
    return "[" + ",".join(map(str, shape)) + "]"
