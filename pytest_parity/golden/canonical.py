"""Canonical JSON: one text for one value, indented for people, strict for other programs.

Keys are sorted; what fits on a line stays on one. JSON has no NaN and no infinity, and losses have: they are written
``{"$float": "nan"}``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from pytest_parity.errors import GoldenError

__all__ = ["compact", "decode", "dumps", "loads", "plain"]

_FLOAT = "$float"
_WIDTH = 110
_NONFINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def plain(value: Any, where: str) -> Any:
    """``value`` as dictionaries, lists, strings, numbers, booleans and ``None``; non-finite floats encoded.

    Tuples become lists. Raises ``GoldenError``, naming the place under ``where``, on anything else.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {_FLOAT: str(float(value))}
    if isinstance(value, (list, tuple)):
        return [plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, Mapping):
        return {_key(key, where): plain(item, f"{where}.{key}") for key, item in value.items()}
    raise GoldenError(
        f"{where} is a {type(value).__name__}, and a golden's manifest keeps plain values only; "
        f"pass a string, a number, a boolean, None, or lists and dictionaries of them"
    )


def compact(encoded: Any) -> str:
    """A value that ``plain`` returned, on one line without spaces: what digests are taken of."""
    return json.dumps(encoded, sort_keys=True, separators=(",", ":"), allow_nan=False)


def dumps(encoded: Any) -> str:
    """A value that ``plain`` returned, for people: indented by two, short values on one line."""
    return _render(encoded, "") + "\n"


def loads(text: str | bytes) -> Any:
    """The encoded value back; raises ``ValueError`` on anything that is not strict JSON."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def decode(encoded: Any) -> Any:
    """The value that ``plain`` encoded, its non-finite floats back; raises ``ValueError`` on a malformed one."""
    if isinstance(encoded, list):
        return [decode(item) for item in encoded]
    if not isinstance(encoded, dict):
        return encoded
    if _FLOAT in encoded:
        return _nonfinite(encoded)
    return {key: decode(item) for key, item in encoded.items()}


def _nonfinite(encoded: dict[str, Any]) -> float:
    name = encoded[_FLOAT]
    if len(encoded) != 1 or not isinstance(name, str) or name not in _NONFINITE:
        raise ValueError(f"{encoded!r} is no number")
    return _NONFINITE[name]


def _key(key: Any, where: str) -> str:
    if not isinstance(key, str) or key == _FLOAT:
        raise GoldenError(f"{where} has the key {key!r}; a golden's manifest keeps strings as keys, and not {_FLOAT!r}")
    return str.__str__(key)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _render(value: Any, indent: str) -> str:
    line = json.dumps(value, sort_keys=True, allow_nan=False)
    if len(line) + len(indent) <= _WIDTH or not isinstance(value, (dict, list)):
        return line
    deeper = indent + "  "
    if isinstance(value, list):
        body = [f"{deeper}{_render(item, deeper)}" for item in value]
        return "[\n" + ",\n".join(body) + f"\n{indent}]"
    body = [f"{deeper}{json.dumps(key)}: {_render(value[key], deeper)}" for key in sorted(value)]
    return "{\n" + ",\n".join(body) + f"\n{indent}}}"
