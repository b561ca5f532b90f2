"""What W&B keeps of an offline run: its own reader on the file that is synced later."""

from __future__ import annotations

import json
import math
import socket
import struct
import warnings
from getpass import getuser
from pathlib import Path
from typing import Any

import pytest
from logged_runs import GREEN, RUN, leave_no_trace, sink

from pytest_parity.report.sinks import wandb as ours
from pytest_parity.report.sinks import write_sinks

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import wandb
    from wandb.proto import wandb_internal_pb2


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_no_trace(tmp_path / "own", monkeypatch)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")


def records(file: Path) -> list[Any]:
    """Its messages: behind 7 bytes of W&B's, a log as LevelDB writes it, in blocks of 32 KiB that no header spans."""
    data, at, parts, found = file.read_bytes(), 7, b"", []
    while at + 7 <= len(data):
        room = 32_768 - at % 32_768
        if room < 7:
            at += room
            continue
        _, size, part = struct.unpack_from("<IHB", data, at)
        parts += data[at + 7 : at + 7 + size]
        at += 7 + size
        if part in {1, 4}:  # whole, or the last part
            found.append(wandb_internal_pb2.Record.FromString(parts))
            parts = b""
    return found


def run_of(found: list[Any]) -> Any:
    return next(record.run for record in found if record.WhichOneof("record_type") == "run")


def history(found: list[Any]) -> list[dict[str, float]]:
    rows = []
    for record in found:
        if record.WhichOneof("record_type") == "history":
            items = {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
            rows.append({name: float(value) for name, value in items.items() if not name.startswith("_")})
    return rows


def files(place: Path) -> dict[str, list[Any]]:
    """Every run below a directory by its name."""
    found = [records(path) for path in sorted(place.rglob("*.wandb"))]
    return {run_of(one).display_name: one for one in found}


def test_offline_runs_are_read_back_beside_a_run_that_the_tests_have_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("WANDB_RUN_ID", "theirs")
    theirs = wandb.init(mode="offline", dir=str(tmp_path), settings=wandb.Settings(silent=True, console="off"))
    try:
        written = write_sinks([sink("wandb:logs", tmp_path)], [RUN, GREEN])
        assert wandb.run is theirs
        theirs.log({"still": 1})
    finally:
        theirs.finish()
        wandb.teardown()
    assert not written.complaints
    (line,) = written.lines
    assert line.endswith(f": 2 runs, offline; to upload them: wandb sync {tmp_path}/logs/wandb/offline-run-*")
    found = files(tmp_path / "logs")
    assert set(found) == {"nest/tiny", "../else where"}
    failed, green = found["nest/tiny"], found["../else where"]
    _is_told(failed)
    assert [(list(run_of(one).tags), run_of(one).project) for one in (failed, green)] == [
        (["failed"], "parity"),
        (["passed"], "parity"),
    ]
    codes = [[r.exit.exit_code for r in one if r.WhichOneof("record_type") == "exit"] for one in (failed, green)]
    assert codes == [[1], [0]]
    assert "theirs" not in {run_of(one).run_id for one in found.values()}
    _tells_no_machine(tmp_path / "logs")


def _is_told(found: list[Any]) -> None:
    run = run_of(found)
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert config.items() >= RUN.config.items()
    assert run.notes == RUN.text
    rows = history(found)
    losses = [
        (row["axis/step"], row["loss/reference"], row["loss/candidate"]) for row in rows if "loss/reference" in row
    ]
    assert [loss[:2] for loss in losses] == [(0, 4.0), (1, 3.0), (2, 2.0), (3, 1.0)]
    assert math.isnan(losses[1][2])
    assert (losses[2][2], losses[3][2]) == (math.inf, 1.5)
    rates = [(row["axis/step"], row["learning_rate"]) for row in rows if "learning_rate" in row]
    assert rates == [(1, 0.1), (2, 0.2), (3, 0.3), (3, 0.4)]
    epochs = [(row["axis/epoch"], row["epoch_loss"]) for row in rows if "epoch_loss" in row]
    assert epochs == [(1, 3.5), (2, 1.5)]
    axes = {r.metric.name: r.metric.step_metric for r in found if r.WhichOneof("record_type") == "metric"}
    assert (axes["loss/reference"], axes["epoch_loss"]) == ("axis/step", "axis/epoch")
    summary = {item.key: item.value_json for r in found for item in r.summary.update}
    assert summary["sites/differs"] == "3.0"


def _tells_no_machine(place: Path) -> None:
    """In what would be uploaded: neither the host's name nor the user's, beyond the paths of W&B's own."""
    for path in place.rglob("*.wandb"):
        run = run_of(records(path))
        assert run.host == ""
        assert not any(word in str(run).split('"') for word in (socket.gethostname(), getuser()))


def test_a_process_of_wandbs_that_only_the_log_needed_is_gone_at_its_end(tmp_path: Path):
    from wandb.sdk import wandb_setup

    wandb.teardown()
    assert not write_sinks([sink("wandb://team/nest", tmp_path)], [GREEN]).complaints
    assert wandb_setup._singleton is None
    (found,) = files(tmp_path / "wandb").values()
    assert (run_of(found).entity, run_of(found).project) == ("team", "nest")


def mode(text: str, place: Path) -> tuple[str, str]:
    return ours._mode(sink(text, place))


def test_a_project_is_online_where_an_account_is_known_and_nobody_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    project = "wandb://team/nest"
    assert mode(project, tmp_path) == ("offline", ", as no account is known here (wandb login)")
    (tmp_path / "netrc").write_text("machine elsewhere login user password x\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert mode(project, tmp_path)[0] == "offline"
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password x\n")
    assert mode(project, tmp_path) == ("online", "")
    monkeypatch.delenv("NETRC")
    monkeypatch.setenv("HOME", str(tmp_path / "empty"))
    assert mode(project, tmp_path)[0] == "offline"
    monkeypatch.setenv("WANDB_API_KEY", "x")
    assert mode(project, tmp_path) == ("online", "")
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert mode(project, tmp_path) == ("offline", ", as WANDB_MODE=offline says")


def test_a_directory_is_offline_whatever_account_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WANDB_API_KEY", "x")
    monkeypatch.setenv("WANDB_MODE", "online")
    assert mode("wandb:logs", tmp_path) == ("offline", "")
