"""Place: what stands behind ``--parity-sink``, which library it needs, and whether it could be written at the end."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from pytest_parity.errors import UsageError

__all__ = ["SQLITE", "Sink", "check_sinks", "read_sink", "shown"]

Kind = Literal["tensorboard", "wandb", "mlflow"]
_KINDS: tuple[Kind, ...] = ("tensorboard", "wandb", "mlflow")
_HOW = "tensorboard:DIR, wandb:DIR, wandb://PROJECT, wandb://ENTITY/PROJECT, mlflow:DIR or mlflow:URI"
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_SERVERS = ("http", "https", "databricks")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+]+):(?=//)")
SQLITE = "sqlite:///"
"""Before a database that is a file; its path is absolute."""


@dataclass(frozen=True, slots=True)
class Sink:
    """One place. ``directory`` is absolute, and ``None`` where ``where`` is no directory: a project, a server, a database."""

    kind: Kind
    where: str
    directory: Path | None
    base: Path
    """What relative paths begin at, and where W&B keeps its own files of an online run."""
    option: str
    """As it was typed, for messages."""


def read_sink(text: str, name: str, base: Path) -> Sink:
    """``KIND:WHERE`` as option ``name`` gives it; raises ``UsageError``. Nothing is looked at on disk."""
    option = f"{name} {text}"
    word, colon, where = text.strip().partition(":")
    kind = next((known for known in _KINDS if known == word), None)
    if kind is None:
        raise UsageError(f"{option}: a sink is {_HOW}")
    if not colon or not where:
        raise UsageError(f"{option}: it does not say where to, as in {_example(kind)}")
    if kind == "wandb" and where.startswith("//"):
        return Sink(kind, _project(where, option), None, base, option)
    if kind == "mlflow" and (where == "databricks" or _SCHEME.match(where)):
        return Sink(kind, _uri(where, option, base), None, base, option)
    directory = Path(os.path.normpath(base / Path(where).expanduser()))
    return Sink(kind, str(directory), directory, base, option)


def check_sinks(sinks: Sequence[Sink]) -> None:
    """Raise ``UsageError`` for one that could not be written at the end: no library, no place, a place that is another's."""
    for sink in sinks:
        _check(sink)
    stores = [(sink, sink.directory) for sink in sinks if sink.directory is not None]
    for store, inner in stores:
        for other, outer in stores:
            if "mlflow" in {store.kind, other.kind} and store.kind != other.kind and inner.is_relative_to(outer):
                raise UsageError(
                    f"{store.option}: it would lie within {other.option}, and MLflow takes what is in its directory for "
                    "experiments; give it one of its own, as in mlflow:mlruns"
                )


def _check(sink: Sink) -> None:
    if not _installed(sink.kind):
        raise UsageError(f"{sink.option}: it needs {sink.kind}: pip install 'pytest-parity[{sink.kind}]'")
    if sink.directory is None:
        if sink.where.partition(":")[0].partition("+")[0] in _DATABASES and not _installed("sqlalchemy"):
            raise UsageError(f"{sink.option}: MLflow keeps runs in a database with sqlalchemy: pip install mlflow")
        return
    there = next(path for path in (sink.directory, *sink.directory.parents) if path.exists())
    if not there.is_dir():
        raise UsageError(f"{sink.option}: {there} is a file; name a directory, as in {_example(sink.kind)}")
    if not os.access(there, os.W_OK):
        raise UsageError(f"{sink.option}: {there} cannot be written; give another place, or make this one writable")


def shown(path: Path) -> str:
    """A path as one would type it here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _example(kind: Kind) -> str:
    return {"tensorboard": "tensorboard:runs", "wandb": "wandb:runs", "mlflow": "mlflow:mlruns"}[kind]


def _installed(name: str) -> bool:
    """A directory of that name, which W&B makes wherever it runs, is no library."""
    spec = find_spec(name)
    return spec is not None and spec.origin is not None


def _project(where: str, option: str) -> str:
    parts = where[2:].strip("/").split("/")
    if len(parts) not in {1, 2} or not all(parts):
        raise UsageError(f"{option}: a project of W&B is wandb://PROJECT or wandb://ENTITY/PROJECT")
    return "/".join(parts)


def _uri(where: str, option: str, base: Path) -> str:
    scheme = where.partition(":")[0]
    if scheme.partition("+")[0] not in {*_DATABASES, *_SERVERS}:
        raise UsageError(
            f"{option}: {scheme}:// is no place that MLflow's runs are kept in; give a directory, sqlite:///FILE or "
            "http://HOST:PORT"
        )
    if where.startswith(SQLITE) and len(where) > len(SQLITE):
        return SQLITE + os.path.normpath(base / where.removeprefix(SQLITE))
    return where
