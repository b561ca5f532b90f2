"""A configuration in a file: YAML, JSON or TOML, as plain nested tables with its references resolved."""

from __future__ import annotations

import datetime as dt
import importlib
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pytest_parity.errors import UsageError

__all__ = ["ConfigFile", "plain_table", "read_config_file"]

_YAML, _JSON, _TOML = (".yaml", ".yml"), (".json",), (".toml",)
_REFERENCE = "${"
_BARE_REFERENCE = re.compile(r"(?<!\\)\$\{")
_RESOLVER = re.compile(r"(?<!\\)\$\{\s*([A-Za-z_][\w.]*)\s*:")
_OF_THE_FILE = frozenset({"oc.select", "oc.decode", "oc.create", "oc.deprecated", "oc.dict.keys", "oc.dict.values"})
"""Resolvers whose answer lies in the file. Others ask the machine: a variable, the time, the job."""
MISSING = "???"
"""What YAMLs for OmegaConf and Hydra write for a value that the command line has to give."""
_CYCLE = "it leads back to itself"
_COMPOSED = "what Hydra composes of it is not here (python train.py --cfg job prints the whole)"


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A configuration, and which of its keys have no value that the file alone tells."""

    name: str
    values: Mapping[str, Any]
    unresolved: Mapping[str, str] = field(default_factory=dict)
    """Dotted key to the reason; the value is then the text as it is written."""


def read_config_file(path: str | Path) -> ConfigFile:
    """Read a file, by its suffix: ``.yaml``, ``.yml``, ``.json`` or ``.toml``.

    ``${a.b}`` is resolved, with OmegaConf; what the machine would answer (``${oc.env:HOME}``, ``${now:%H}``), what
    leads nowhere and ``???`` stay as they are written. Raises ``UsageError``.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (*_YAML, *_JSON, *_TOML):
        raise UsageError(f"{path} is no configuration: a name that ends in .yaml, .yml, .json or .toml is needed")
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8: {error.reason} at byte {error.start}") from error
    read = _yaml if suffix in _YAML else _json if suffix in _JSON else _toml
    found = read(text, path)
    if not isinstance(found, Mapping):
        raise UsageError(f"{path} holds {_a(found)} at its top, and a table of keys is needed")
    values = plain_table(found)
    composed = {"defaults": _COMPOSED} if isinstance(values.get("defaults"), list) else {}
    if not _has_references(values):
        return ConfigFile(str(path), values, composed)
    resolved = _resolved(values, path)
    return ConfigFile(resolved.name, resolved.values, {**composed, **resolved.unresolved})


def plain_table(value: Any) -> Any:
    """Tables and lists of plain values; dates become their ISO text."""
    if isinstance(value, Mapping):
        return {str(key) if isinstance(key, str) else key: plain_table(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_table(item) for item in value]
    return value.isoformat() if isinstance(value, (dt.date, dt.time)) else value


def _yaml(text: str, path: Path) -> Any:
    _check_installed(path, "YAML is")
    from omegaconf import OmegaConf  # noqa: PLC0415

    try:
        found = OmegaConf.to_container(OmegaConf.create(text), resolve=False) if text.strip() else {}
    except Exception as error:
        raise UsageError(f"{path} is not YAML: {_one_line(error)}") from error
    return text.strip() if found == {text.strip(): None} else found  # OmegaConf makes a key of a text alone


def _json(text: str, path: Path) -> Any:
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: _once(pairs, path))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON: {error}") from error


def _toml(text: str, path: Path) -> Any:
    # Python 3.10 has no TOML reader of its own; pytest depends on tomli there.
    toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        return toml.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from error


def _once(pairs: list[tuple[str, Any]], path: Path) -> dict[str, Any]:
    """A JSON object; of a key that is there twice, readers take one or the other."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"{path} has the key {twice!r} twice in one object; remove one of them")
    return found


def _check_installed(path: Path, what: str) -> None:
    if find_spec("omegaconf") is None:
        raise UsageError(
            f"{path}: {what} read with OmegaConf, which is not installed: pip install 'pytest-parity[config]'"
        )


def _has_references(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_references, value.values()))
    if isinstance(value, list):
        return any(map(_has_references, value))
    return isinstance(value, str) and (_REFERENCE in value or value == MISSING)


def _resolved(values: Mapping[str, Any], path: Path) -> ConfigFile:
    _check_installed(path, "references such as ${a.b} are")
    from omegaconf import OmegaConf  # noqa: PLC0415
    from omegaconf.errors import OmegaConfBaseException  # noqa: PLC0415

    try:
        config = OmegaConf.create(_literal(values))
    except (OmegaConfBaseException, RecursionError) as error:
        raise UsageError(f"{path}: OmegaConf cannot hold it: {_one_line(error)}") from error
    unresolved: dict[str, str] = {}
    found = {key: _value(config, key, str(key), [config], unresolved) for key in config}
    return ConfigFile(str(path), found, unresolved)


def _literal(value: Any) -> Any:
    """The same, with what only the machine can answer escaped: a text like any other, also where it is referred to."""
    if isinstance(value, Mapping):
        return {key: _literal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_literal(item) for item in value]
    if isinstance(value, str) and set(_RESOLVER.findall(value)) - _OF_THE_FILE:
        return _BARE_REFERENCE.sub(r"\\${", value)
    return value


def _value(holder: Any, key: Any, name: str, above: list[Any], unresolved: dict[str, str]) -> Any:
    """A value with what is below it, its references followed; ``above`` are the tables that it lies in."""
    from omegaconf import DictConfig, ListConfig, OmegaConf  # noqa: PLC0415

    if OmegaConf.is_missing(holder, key):
        unresolved[name] = "it has to be given"
        return MISSING
    try:
        value = holder[key]
    except Exception as error:  # noqa: BLE001  whatever a reference leads to, it is shown as it is written
        unresolved[name] = _why(error)
        return _written(holder, key)
    if any(value is one for one in above):
        unresolved[name] = _CYCLE
        return _written(holder, key)
    deeper = [*above, value]
    if isinstance(value, DictConfig):
        return {one: _value(value, one, f"{name}.{one!s}", deeper, unresolved) for one in value}
    if isinstance(value, ListConfig):
        return [_value(value, place, f"{name}.{place}", deeper, unresolved) for place in range(len(value))]
    if isinstance(value, str) and _REFERENCE in value:
        unresolved[name] = "only the machine that it runs on can tell"
    return value


def _written(holder: Any, key: Any) -> Any:
    from omegaconf import OmegaConf  # noqa: PLC0415

    plain: Any = OmegaConf.to_container(holder, resolve=False)
    return plain[key]


def _why(error: Exception) -> str:
    from omegaconf.errors import InterpolationKeyError, InterpolationToMissingValueError  # noqa: PLC0415

    if isinstance(error, InterpolationToMissingValueError):
        return "it leads to what has to be given"
    return "there is no such key" if isinstance(error, InterpolationKeyError) else _one_line(error)


def _one_line(error: BaseException) -> str:
    mark = getattr(error, "problem_mark", None)  # of PyYAML's
    if mark is not None:
        return f"{getattr(error, 'problem', None) or 'it cannot be parsed'} (line {mark.line + 1}, column {mark.column + 1})"
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in lines if line), type(error).__name__)


def _a(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
