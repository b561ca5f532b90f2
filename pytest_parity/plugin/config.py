"""Configuration: a YAML file read with OmegaConf, under the overrides of ``--parity-set``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pytest_parity.contract.config import flattened
from pytest_parity.errors import UsageError
from pytest_parity.plugin.text import nearest

__all__ = ["Override", "check_installed", "overridden", "plain_config", "read_config", "read_override"]


@dataclass(frozen=True, slots=True)
class Override:
    """One ``--parity-set``: a dotted key, its value as YAML, and whether the key may be new."""

    key: str
    value: str
    adds: bool = False


def read_override(text: str) -> Override:
    """``model.width=64``, or ``+model.width=64`` for a key that is not there; raises ``UsageError``."""
    key, equals, value = text.partition("=")
    adds = key.startswith("+")
    key = key[adds:].strip()
    if not equals or not key:
        raise UsageError(f"--parity-set {text}: write key=value, as in --parity-set model.width=64")
    return Override(key, value, adds)


def check_installed(needed_by: str) -> None:
    """Raise ``UsageError`` where OmegaConf is not there."""
    if find_spec("omegaconf") is None:
        raise UsageError(
            f"{needed_by} is read with OmegaConf, which is not installed: pip install 'pytest-parity[config]'"
        )


def read_config(source: Any, said: str) -> Any:
    """A ``DictConfig`` of its own from a YAML file's path, a table or a ``DictConfig``; raises ``UsageError``."""
    check_installed(said)
    from omegaconf import DictConfig, OmegaConf  # noqa: PLC0415
    from omegaconf.errors import OmegaConfBaseException  # noqa: PLC0415

    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        try:
            found: Any = OmegaConf.load(path)
        except OSError as error:
            raise UsageError(f"{said}: {path} cannot be read: {error.strerror}") from error
        except Exception as error:
            raise UsageError(f"{said}: {path} is not YAML: {error}") from error
    else:
        try:
            plain = isinstance(source, Mapping) and not isinstance(source, DictConfig)
            found = OmegaConf.create(dict(source)) if plain else source
        except OmegaConfBaseException as error:
            raise UsageError(f"{said}: OmegaConf cannot hold it: {error}") from error
    if not isinstance(found, DictConfig):
        raise UsageError(
            f"{said} is {source!r}, no table; give the path of a YAML file with one, a dict or a DictConfig"
        )
    return found.copy()


def overridden(config: Any, overrides: Sequence[Override]) -> Any:
    """The configuration under ``--parity-set``, in the order given; raises ``UsageError``."""
    from omegaconf import OmegaConf, flag_override  # noqa: PLC0415

    for override in overrides:
        said = f"--parity-set {'+' * override.adds}{override.key}={override.value}"
        if not override.adds and not _has(config, override.key):
            known = [key for key, _ in flattened(OmegaConf.to_container(config))]
            raise UsageError(
                f"{said}: the configuration has no {override.key!r}{nearest(override.key, known)}; "
                f"a key that is to be new is written with a plus: --parity-set +{override.key}={override.value}"
            )
        try:
            value = OmegaConf.from_dotlist([f"value={override.value}"])["value"]
            with flag_override(config, ["struct", "readonly"], values=False):
                OmegaConf.update(config, override.key, value, force_add=override.adds)
        except Exception as error:
            raise UsageError(f"{said}: OmegaConf refuses it: {error}") from error
    return config


def _has(config: Any, key: str) -> bool:
    """Whether a dotted key is there, whatever its value; interpolations are not followed at the end."""
    from omegaconf import OmegaConf  # noqa: PLC0415

    parent, _, last = key.rpartition(".")
    try:
        holder = OmegaConf.select(config, parent) if parent else config
    except Exception:  # noqa: BLE001  a part that cannot be resolved has nothing below it
        return False
    if OmegaConf.is_list(holder):
        return last.isdigit() and int(last) < len(holder)
    return OmegaConf.is_dict(holder) and last in holder.keys()  # noqa: SIM118  `in` of a config resolves the value


def plain_config(config: Any) -> dict[str, Any]:
    """As a golden keeps it: interpolations as they are written, of an absolute path its last part alone.

    Where files are is this machine's matter, and temporary directories have another name each time.
    """
    from omegaconf import OmegaConf  # noqa: PLC0415

    found = _plain(OmegaConf.to_container(config, resolve=False, enum_to_str=True))
    assert isinstance(found, dict)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key.name if isinstance(key, Enum) else key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    text = str(value)
    return f".../{Path(text).name}" if Path(text).is_absolute() else text
