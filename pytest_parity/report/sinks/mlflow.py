"""MLflow: a run in experiment ``parity`` of the store that is named, by its client alone: the active run is somebody's else."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_parity.report.sinks.logged import Logged
from pytest_parity.report.sinks.place import SQLITE, Sink, shown
from pytest_parity.report.sinks.surroundings import undisturbed
from pytest_parity.report.words import amount

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["write_mlflow"]

_EXPERIMENT = "parity"
_BATCH, _PARAMS = 900, 90
"""Less than MLflow takes at once: 1,000 metrics, 100 parameters."""
_NOTE, _VALUE = 4000, 500
"""Characters that any version of it takes of a description, and of a parameter."""
_NO_KEY = re.compile(r"[^\w\-. /]", re.ASCII)
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
_LOCAL = {"MLFLOW_ALLOW_FILE_STORE": "true"}
"""A directory is asked for by name."""


def write_mlflow(sink: Sink, runs: Sequence[Logged]) -> str:
    """Log the runs; raises whatever MLflow does."""
    variables = {"MLFLOW_DISABLE_TELEMETRY": "true", **_PATIENCE, **({} if sink.directory is None else _LOCAL)}
    with undisturbed(variables):
        from mlflow import MlflowClient  # noqa: PLC0415

        uri = sink.where if sink.directory is None else sink.directory.as_uri()
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or _EXPERIMENT
        found = client.get_experiment_by_name(name)
        experiment = client.create_experiment(name, _artifacts(uri)) if found is None else found.experiment_id
        for run in runs:
            _write(client, experiment, run)
    many = f"{amount(len(runs), 'run')} in experiment {name}"
    if sink.directory is None and not uri.startswith("sqlite"):
        return many
    place = uri if sink.directory is None else shown(sink.directory)
    look = f"{_allowing(sink)}mlflow ui --backend-store-uri {place}"
    return f"{many}; look at {'it' if len(runs) == 1 else 'them'}: {look}"


def _allowing(sink: Sink) -> str:
    """What newer versions of MLflow want to be told before they open a directory."""
    from mlflow import environment_variables  # noqa: PLC0415

    (name, value), *_ = _LOCAL.items()
    return f"{name}={value} " if sink.directory is not None and hasattr(environment_variables, name) else ""


def _artifacts(uri: str) -> str | None:
    """Beside a database that is a file, not wherever one happens to be; else where MLflow puts them."""
    file = uri.removeprefix(SQLITE)
    return None if file == uri else (Path(file).parent / "mlartifacts").as_uri()


def _write(client: MlflowClient, experiment: str, run: Logged) -> None:
    from mlflow.entities import Param, RunTag  # noqa: PLC0415

    identity = client.create_run(experiment, run_name=run.name).info.run_id
    try:
        params = iter([Param(_NO_KEY.sub("_", name), _cut(value, _VALUE)) for name, value in run.config.items()])
        while some := list(islice(params, _PARAMS)):
            client.log_batch(identity, params=some)
        metrics = iter(_metrics(run))
        while points := list(islice(metrics, _BATCH)):
            client.log_batch(identity, metrics=points)
        client.log_batch(identity, tags=[RunTag("mlflow.note.content", _note(run))])
        if run.text:
            client.log_text(identity, run.text, "parity.md")
    except BaseException:
        client.set_terminated(identity, "KILLED")
        raise
    client.set_terminated(identity, "FAILED" if run.passed is False else "FINISHED")


def _metrics(run: Logged) -> Iterable[Any]:
    from mlflow.entities import Metric  # noqa: PLC0415

    now = int(time.time() * 1000)
    keys = _keys([*run.scalars, *(line.key for line in run.lines)])
    for name, value in run.scalars.items():
        yield Metric(keys[name], value, now, 0)
    for line in run.lines:
        for step, value in zip(line.steps, line.values, strict=True):
            yield Metric(keys[line.key], float(value), now, int(step))


def _keys(names: Iterable[str]) -> Mapping[str, str]:
    """Names as MLflow takes them: a store of files has no ``loss`` beside ``loss/x``."""
    keys = {name: _key(name) for name in dict.fromkeys(names)}
    for name, key in keys.items():
        parents = {key.rsplit("/", count)[0] for count in range(1, key.count("/") + 1)}
        if parents & set(keys.values()):
            keys[name] = key.replace("/", ".")
    return keys


def _key(name: str) -> str:
    """Without what it refuses: other characters, an empty or dotted part of a path."""
    return "/".join(part for part in _NO_KEY.sub("_", name).split("/") if part.strip(". ")) or "_"


def _note(run: Logged) -> str:
    return run.text if len(run.text) <= _NOTE else _cut(run.headline, _NOTE)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
